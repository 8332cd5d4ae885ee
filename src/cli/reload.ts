// SPDX-License-Identifier: Apache-2.0
// `weave reload`: what `systemctl reload weave` runs.
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

export const reload = command({
  name: "reload",
  summary: "take over changes of weave.toml without a restart",
  details: `Peers, passwords, trusted subnets and the log level are read again, from the same places and in the same order as at a start; connections stay, but those that a change forbids. Other options that have changed are named: they count after a restart, which costs no frame of the fast datapath.
What cannot be used is told, and then nothing is changed.`,
  args: { ...JSON_FLAG },
  async run(cli, { json }) {
    const done = await cli.client().call("reload", {});
    for (const warning of done.warnings) cli.err(`weave reload: ${warning}\n`);
    if (done.needRestart.length > 0) {
      cli.err(`weave reload: changed too, and counts after 'systemctl restart weave': ${done.needRestart.join(", ")}\n`);
    }
    if (json) outJson(cli, done);
    else cli.out(done.changed.length === 0 ? "nothing to take over\n" : `taken over: ${done.changed.join(", ")}\n`);
    return EXIT.done;
  },
});
