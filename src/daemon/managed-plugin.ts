// SPDX-License-Identifier: Apache-2.0
// The two ends of the managed plugin: making it on this host, and being it.
import { mkdirSync, readFileSync } from "node:fs";
import type { DaemonConfig } from "../config/load.ts";
import { checkPluginName, createPlugin, PLUGIN_SOCKET } from "../docker/managed-plugin.ts";
import { loadedLibraries } from "../host/loaded-libraries.ts";
import { forwardPlugin } from "../plugin/forward.ts";
import { UserError } from "../runtime/errors.ts";
import { RUNTIME_DIRECTORY } from "./lock.ts";
import { SWARM_SOCKET } from "./plugin.ts";
import { dockerClient } from "./proxy.ts";

const INSIDE = "/usr/bin/weave";

/** @throws {UserError} */
export async function createManagedPlugin(
  name: string,
  config: DaemonConfig,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const docker = dockerClient(config);
  if (!docker) throw new UserError("bad-request", "there is no Docker: --docker-api is empty");
  mkdirSync(RUNTIME_DIRECTORY, { recursive: true }); // Docker refuses to mount what is not there
  await createPlugin(docker, {
    name: checkPluginName(name),
    command: [INSIDE, "docker-plugin", "forward"],
    environment,
    files: [{ path: INSIDE, content: readFileSync(process.execPath) }, ...loadedLibraries()],
    directory: RUNTIME_DIRECTORY,
  });
}

/** Never comes back. */
export function runManagedPlugin(): Promise<never> {
  forwardPlugin(`/run/docker/plugins/${PLUGIN_SOCKET}`, SWARM_SOCKET);
  return new Promise(() => {});
}
