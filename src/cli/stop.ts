// SPDX-License-Identifier: Apache-2.0
// `weave stop`
import { UserError } from "../runtime/errors.ts";
import { command } from "./command.ts";
import { type Cli, EXIT } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";
import { requireRoot } from "./privileges.ts";
import { stopDaemon } from "./service.ts";

export const stop = command({
  name: "stop",
  summary: "end the daemon; the network goes on forwarding",
  details:
    "Attached containers keep talking to each other, here and on other hosts. Not running is no error. Docker's network 'weave' goes, unless containers are on it, because a Docker that starts while weave is away waits for it; the next start makes it again.",
  args: {},
  async run(cli) {
    requireRoot(cli, "stopping weave");
    if (cli.env["DOCKER_HOST"]?.endsWith("/run/weave/weave.sock")) {
      cli.err("weave stop: this shell's DOCKER_HOST is the proxy, which ends; go back with: eval $(weave env --restore)\n");
    }
    await leaveDocker(cli);
    if (!(await stopDaemon(cli))) cli.err("weave is not running\n");
    return EXIT.done;
  },
});

async function leaveDocker(cli: Cli): Promise<void> {
  try {
    const { config } = loadDaemonConfig({}, [], cli.env);
    const { removeDockerNetwork } = await import("../daemon/reset.ts");
    const stays = await removeDockerNetwork(config);
    if (stays !== undefined) cli.err(`weave stop: docker's network 'weave' stays: ${stays}\n`);
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown; // options that cannot be read keep nobody from stopping
  }
}
