// SPDX-License-Identifier: Apache-2.0
// The configuration as the daemon sees it: flags, then launch.json of the data directory, then credentials, then the environment, then weave.toml.
import { hostname } from "node:os";
import { readConfigFile } from "../config/config-file.ts";
import { credentialPasswords } from "../config/credentials.ts";
import { readLaunchFile } from "../config/launch-file.ts";
import { type Environment, type GivenFlags, type Loaded, loadConfig } from "../config/load.ts";

/** @throws {UserError} a value, launch.json or weave.toml cannot be used */
export function loadDaemonConfig(flags: GivenFlags, peers: readonly string[], env: Environment): Loaded {
  const administrators = readConfigFile();
  const common = { env, hostname: hostname(), administrators };
  const { config } = loadConfig({ ...common, flags: flags.dataDir ? { dataDir: flags.dataDir } : {}, peers: [] });
  return loadConfig({ ...common, flags, peers, file: readLaunchFile(config.dataDir), credentials: credentialPasswords(env) });
}
