// SPDX-License-Identifier: Apache-2.0
// The managed plugin for Docker's swarm: this very executable with the libraries it runs with, which only forwards to the host's daemon. Docker makes it from
// an archive we send, so no registry is asked. Configuration: https://docs.docker.com/engine/extend/config/
import { UserError } from "../runtime/errors.ts";
import type { DockerClient } from "./client.ts";
import { type TarEntry, tarOf } from "./tar.ts";

/** Docker keeps its plugins' sockets here, inside each. */
export const PLUGIN_SOCKET = "weave.sock";
const ENABLE_SECONDS = 30;

export interface PluginFile {
  readonly path: string;
  readonly content: Uint8Array;
}

export interface PluginPlan {
  readonly name: string;
  /** Program and arguments inside. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute paths inside; all may be executed. */
  readonly files: readonly PluginFile[];
  /** A directory of the host that it sees at the same path. */
  readonly directory: string;
}

/** Makes it and switches it on. @throws {UserError} Docker's reason */
export async function createPlugin(client: DockerClient, plan: PluginPlan): Promise<void> {
  const query = `name=${encodeURIComponent(plan.name)}`;
  const archive = new Blob(tarOf(entriesOf(plan)));
  await client.send(`/plugins/create?${query}`, archive, "application/x-tar", `make the plugin '${plan.name}'`);
  const at = `/plugins/${encodeURIComponent(plan.name)}`;
  try {
    await client.send(`${at}/enable?timeout=${ENABLE_SECONDS}`, "", "application/json", `switch the plugin '${plan.name}' on`);
  } catch (thrown) {
    await client.remove(`${at}?force=true`);
    throw thrown;
  }
}

function entriesOf(plan: PluginPlan): TarEntry[] {
  const files = plan.files.map(({ path, content }) => ({ path: `rootfs${path}`, mode: 0o755, content }));
  const folders = new Set([
    "rootfs/",
    ...["/proc/", "/sys/", "/dev/", "/tmp/", "/run/docker/plugins/", `${plan.directory}/`].flatMap(parents),
  ]);
  for (const { path } of plan.files) for (const parent of parents(path)) folders.add(parent);
  const config = new TextEncoder().encode(JSON.stringify(configOf(plan)));
  return [
    { path: "config.json", mode: 0o644, content: config },
    ...[...folders].sort().map((path) => ({ path, mode: 0o755 })),
    ...files,
  ];
}

/** `rootfs/usr/`, `rootfs/usr/lib/` of `/usr/lib/x`. */
function parents(path: string): string[] {
  return [...path.matchAll(/\//g)].slice(1).map(({ index }) => `rootfs${path.slice(0, index)}/`);
}

function configOf({ command, environment, directory }: PluginPlan): object {
  return {
    Description: "weave: containers of a swarm on one flat network",
    Entrypoint: command,
    WorkDir: "/",
    Env: Object.entries(environment).map(([Name, Value]) => ({ Name, Value, Settable: null, Description: "" })),
    Interface: { Types: ["docker.networkdriver/1.0"], Socket: PLUGIN_SOCKET },
    Network: { Type: "none" },
    Mounts: [
      {
        Name: "daemon",
        Description: "",
        Source: directory,
        Destination: directory,
        Type: "bind",
        Options: ["rbind"],
        Settable: null,
      },
    ],
    Linux: { Capabilities: [], AllowAllDevices: false, Devices: null },
    PropagatedMount: "",
    Args: { Name: "", Description: "", Settable: null, Value: null },
  };
}

/** @throws {UserError} bad-request */
export function checkPluginName(name: string): string {
  if (/^[a-z0-9]+([._/-][a-z0-9]+)*(:[\w][\w.-]{0,127})?$/.test(name)) return name;
  throw new UserError(
    "bad-request",
    `'${name}' cannot be the name of a plugin`,
    "write it like an image's: weave or example/weave:1",
  );
}
