// SPDX-License-Identifier: Apache-2.0
// `weave docker-plugin create [--docker-api ENDPOINT] [<name>]`; `forward` is what the plugin itself runs.
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { EXIT } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";
import { givenOptions, OPTION_FLAGS } from "./option-flags.ts";
import { requireRoot } from "./privileges.ts";
import { RUNTIME_ENVIRONMENT } from "./service.ts";

const DEFAULT_NAME = "weave";

export const dockerPlugin = command({
  name: "docker-plugin",
  summary: "make the plugin by which services of a Docker swarm use the network",
  usage: ["create [--docker-api ENDPOINT] [<name>]"],
  details: `Makes a managed plugin of this executable and switches it on; no registry is asked. It only forwards to the daemon, so 'weave launch' comes first, on every node of the swarm. Then, on a manager:
  docker network create --driver weave:latest mynet
  docker service create --network mynet …
A newer weave needs no new plugin. 'docker plugin disable' and 'docker plugin rm' remove it.`,
  args: {
    action: { type: "positional", required: true, description: "create" },
    name: { type: "positional", required: false, description: `what Docker is to call it (default ${DEFAULT_NAME})` },
    "docker-api": OPTION_FLAGS["docker-api"] ?? { type: "string" },
  },
  async run(cli, { action, name = DEFAULT_NAME }, { flags }) {
    const plugin = () => import("../daemon/managed-plugin.ts");
    if (action === "forward") return await (await plugin()).runManagedPlugin();
    if (action !== "create") throw new UsageError(`'${action}' is nothing that can be done with the plugin`, "write: create");
    requireRoot(cli, "making a Docker plugin");
    const { config } = loadDaemonConfig(givenOptions(flags), [], cli.env);
    await (await plugin()).createManagedPlugin(name, config, RUNTIME_ENVIRONMENT);
    cli.out(`${name}\n`);
    return EXIT.done;
  },
});
