// SPDX-License-Identifier: Apache-2.0
// The configuration as the daemon sees it: flags, then launch.json of the data directory, then the environment.
import { hostname } from "node:os";
import { readLaunchFile } from "../config/launch-file.ts";
import { type Environment, type GivenFlags, type Loaded, loadConfig } from "../config/load.ts";

/** @throws {UserError} a value, or launch.json, cannot be used */
export function loadDaemonConfig(flags: GivenFlags, peers: readonly string[], env: Environment): Loaded {
  const { config } = loadConfig({ flags: flags.dataDir ? { dataDir: flags.dataDir } : {}, peers: [], env, hostname: hostname() });
  return loadConfig({ flags, peers, file: readLaunchFile(config.dataDir), env, hostname: hostname() });
}
