// SPDX-License-Identifier: Apache-2.0
// The two ends of the managed plugin: making it on this host, and being it.
import { mkdirSync, readFileSync } from "node:fs";
import type { DaemonConfig } from "../config/load.ts";
import { DockerClient } from "../docker/client.ts";
import { parseDockerEndpoint } from "../docker/endpoint.ts";
import { checkPluginName, createPlugin, PLUGIN_SOCKET } from "../docker/managed-plugin.ts";
import { loadedLibraries } from "../host/loaded-libraries.ts";
import { forwardPlugin } from "../plugin/forward.ts";
import { UserError } from "../runtime/errors.ts";
import { RUNTIME_DIRECTORY } from "./lock.ts";
import { SWARM_SOCKET } from "./plugin.ts";

const INSIDE = "/usr/bin/weave";

/** @throws {UserError} */
export async function createManagedPlugin(
  name: string,
  config: Pick<DaemonConfig, "dockerApi">,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  if (config.dockerApi === "") throw new UserError("bad-request", "there is no Docker: --docker-api is empty");
  mkdirSync(RUNTIME_DIRECTORY, { recursive: true }); // Docker refuses to mount what is not there
  await createPlugin(new DockerClient(parseDockerEndpoint(config.dockerApi)), {
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
