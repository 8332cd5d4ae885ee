// SPDX-License-Identifier: Apache-2.0
// `weave rmpeer [--revoke] <peer>...`
import { UserError } from "../runtime/errors.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

export const rmpeer = command({
  name: "rmpeer",
  summary: "remove peers that will not come back",
  details: `A peer is given by its name or nickname. What it owned is taken over by this host: run it on one host only, and only when the peer is gone for good. With --revoke the peer's key is refused by every host from now on, so that even one who has the password cannot come back with it.`,
  args: {
    peer: { type: "positional", required: true, multiple: true, description: "names or nicknames" },
    revoke: { type: "boolean", description: "refuse its key everywhere from now on" },
    ...JSON_FLAG,
  },
  async run(cli, { peer: peers, revoke, json }) {
    const done: { peer: string; text: string }[] = [];
    let failures = 0;
    for (const id of peers) {
      try {
        const text = await cli.client().call("removePeer", { id, revoke });
        done.push({ peer: id, text: text.trimEnd() });
        if (text === "") cli.err(`weave rmpeer: nothing to take over from '${id}': addresses are not allocated here\n`);
      } catch (thrown) {
        // One bad name must not keep the others; without a daemon none can work.
        if (!(thrown instanceof UserError)) throw thrown;
        failures++;
        cli.err(`weave rmpeer: ${thrown.message}${thrown.hint === "" ? "" : `; ${thrown.hint}`}\n`);
      }
    }
    if (json) outJson(cli, { removed: done });
    else cli.out(done.map(({ text }) => (text === "" ? "" : `${text}\n`)).join(""));
    return failures === 0 ? EXIT.done : EXIT.failed;
  },
});
