// SPDX-License-Identifier: Apache-2.0
// `weave docker-bridge-ip`
import { networkInterfaces } from "node:os";
import { UserError } from "../runtime/errors.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";

export const dockerBridgeIp = command({
  name: "docker-bridge-ip",
  summary: "print the address of Docker's bridge",
  details: "The bridge is docker0, or the one that DOCKER_BRIDGE names.",
  args: {},
  async run(cli) {
    const bridge = cli.env["DOCKER_BRIDGE"] || "docker0";
    const address = networkInterfaces()[bridge]?.find(({ family }) => family === "IPv4")?.address;
    if (address === undefined) throw new UserError("not-found", `the bridge '${bridge}' has no address`, "is Docker running?");
    cli.out(address);
    return EXIT.done;
  },
});
