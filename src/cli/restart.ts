// SPDX-License-Identifier: Apache-2.0
// `weave restart <container>`: Docker's command, and then attach with the addresses it had.
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { attachStarted, docker } from "./docker-client.ts";

export const restart = command({
  name: "restart",
  summary: "restart a container with the addresses it has",
  args: { container: { type: "positional", required: true, description: "name or id" } },
  async run(cli, { container }) {
    const { entries } = await cli.client().call("ps", { words: [container] });
    const addresses = entries.flatMap((entry) => entry.addresses.map((address) => `ip:${address}`));
    const said = await docker(cli, "restart", container);
    await attachStarted(cli, "restart", container, addresses);
    cli.out(`${said}\n`);
    return EXIT.done;
  },
});
