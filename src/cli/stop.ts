// SPDX-License-Identifier: Apache-2.0
// `weave stop`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { requireRoot } from "./privileges.ts";
import { stopDaemon } from "./service.ts";

export const stop = command({
  name: "stop",
  summary: "end the daemon; the network goes on forwarding",
  details: "Attached containers keep talking to each other, here and on other hosts. Not running is no error.",
  args: {},
  async run(cli) {
    requireRoot(cli, "stopping weave");
    if (cli.env["DOCKER_HOST"]?.endsWith("/run/weave/weave.sock")) {
      cli.err("weave stop: this shell's DOCKER_HOST is the proxy, which ends; go back with: eval $(weave env --restore)\n");
    }
    if (!(await stopDaemon(cli))) cli.err("weave is not running\n");
    return EXIT.done;
  },
});
