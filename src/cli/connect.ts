// SPDX-License-Identifier: Apache-2.0
// `weave connect [--replace] <peer>...`
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const connect = command({
  name: "connect",
  summary: "connect to further peers",
  details: `A peer is host[:port]. Connecting again to a peer that is being tried resets the waiting time between the attempts.
With --replace and no peer at all every target is forgotten.`,
  args: {
    peer: { type: "positional", required: false, multiple: true, description: "host[:port], any number" },
    replace: { type: "boolean", description: "forget all other targets first" },
  },
  async run(cli, { peer: peers, replace }) {
    if (peers.length === 0 && !replace) throw new UsageError("<peer> is missing");
    const refused = await cli.client().call("connect", { peers, replace });
    for (const line of refused) cli.err(`weave connect: ${line}\n`);
    return refused.length === 0 ? EXIT.done : EXIT.failed;
  },
});
