// SPDX-License-Identifier: Apache-2.0
// `weave reset [--force] [--keep-state]`: hands over to the peers, stops the daemon, then takes everything of weave from the host.
import { Unreachable } from "../api/client.ts";
import { type DaemonConfig, type GivenFlags, loadConfig } from "../config/load.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { command } from "./command.ts";
import { type Cli, EXIT } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";
import { givenOptions, OPTION_FLAGS } from "./option-flags.ts";
import { requireRoot } from "./privileges.ts";
import { localClient, stopDaemon } from "./service.ts";

export const reset = command({
  name: "reset",
  summary: "remove everything of weave from this host",
  details: "Containers lose their interface on the network, the host its identity and its stored options.",
  args: {
    force: { type: "boolean", description: "do not wait for peers to take over what this host owns" },
    "keep-state": {
      type: "boolean",
      description: "keep the host's identity, addresses and options: the next launch brings everything back",
    },
    "data-dir": OPTION_FLAGS["data-dir"] ?? { type: "string" },
  },
  async run(cli, { force, "keep-state": keepsState }, { flags }) {
    requireRoot(cli, "resetting weave");
    const given = givenOptions(flags);
    const config = readableConfig(cli, given.dataDir === undefined ? await runningDataDir() : given);
    const { removeDockerNetwork, resetHost } = await import("../daemon/reset.ts");
    const stays = keepsState ? undefined : await removeDockerNetwork(config);
    if (stays !== undefined)
      cli.err(
        `weave reset: docker's network 'weave' stays: ${stays}; remove them, and 'docker network rm weave' once weave runs again\n`,
      );
    if (!force && !keepsState) await leave();
    await stopDaemon(cli);
    await resetHost(config, keepsState);
    return EXIT.done;
  },
});

/** Where the running daemon keeps its state, whatever is the default. */
async function runningDataDir(): Promise<GivenFlags> {
  try {
    const { dataDir } = (await localClient().call("status", {}, { limitMs: 3_000 })).config;
    return typeof dataDir === "string" ? { dataDir: [dataDir] } : {};
  } catch (thrown) {
    if (thrown instanceof Unreachable || thrown instanceof UserError) return {};
    throw thrown;
  }
}

async function leave(): Promise<void> {
  try {
    await localClient().call("leave", {});
  } catch (thrown) {
    if (thrown instanceof Unreachable && thrown.why === "absent") return;
    throw new UserError("unavailable", `cannot hand over to the peers: ${errorText(thrown)}`, "use --force to reset without it", {
      cause: thrown,
    });
  }
}

// A damaged launch.json must not keep anybody from a reset; a flag that cannot be read must.
function readableConfig(cli: Cli, flags: GivenFlags): DaemonConfig {
  const without = loadConfig({ flags, peers: [], env: {}, hostname: "" }).config;
  try {
    return loadDaemonConfig(flags, [], cli.env).config;
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    cli.err(`weave reset: ${thrown.message}; going on without it\n`);
    return without;
  }
}
