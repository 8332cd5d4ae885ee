// SPDX-License-Identifier: Apache-2.0
// `weave start [<addr>...] <container>`: Docker's command, and then attach.
import { splitTarget } from "./addresses.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { attachStarted, docker } from "./docker-client.ts";

export const start = command({
  name: "start",
  summary: "start a stopped container and attach it",
  usage: ["[<address>...] <container>"],
  args: { word: { type: "positional", required: false, multiple: true, description: "addresses, then the container" } },
  async run(cli, { word }) {
    const { target, addresses } = splitTarget(word);
    const said = await docker(cli, "start", target);
    await attachStarted(cli, "start", target, addresses);
    cli.out(`${said}\n`);
    return EXIT.done;
  },
});
