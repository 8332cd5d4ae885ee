// SPDX-License-Identifier: Apache-2.0
// `weave attach-bridge [--remove] [<bridge>]`
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const attachBridge = command({
  name: "attach-bridge",
  summary: "join another bridge of this host to the network",
  usage: ["[--remove] [<bridge>]"],
  details: `Joins the bridge docker0, or the one that DOCKER_BRIDGE or the argument names, to the network by a pair of interfaces, so that what is plugged in there is on it too. It stays joined over restarts.
Frames larger than the network's MTU are dropped at the pair. Do not join a bridge that leads to another host of the same network by a cable of its own: that is a loop. What comes from the bridge is neither checked nor isolated.`,
  args: {
    bridge: { type: "positional", required: false, description: "default: docker0" },
    remove: { type: "boolean", description: "take it from the network again" },
  },
  async run(cli, args) {
    const bridge = args.bridge ?? (cli.env["DOCKER_BRIDGE"] || "docker0");
    await cli.client().call(args.remove ? "leaveBridge" : "joinBridge", { bridge });
    return EXIT.done;
  },
});
