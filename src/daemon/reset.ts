// SPDX-License-Identifier: Apache-2.0
// Takes everything of weave from this host. No daemon runs meanwhile; what is already gone is no error.
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isSystemError } from "../../native/errno.ts";
import { MissingLibraryError } from "../../native/ffi.ts";
import { launchFilePath } from "../config/launch-file.ts";
import type { DaemonConfig } from "../config/load.ts";
import { removeNetwork } from "../docker/networks.ts";
import { removeBridge } from "../host/bridge.ts";
import { Datapath } from "../host/datapath.ts";
import { IDENTITY_FILE } from "../host/identity.ts";
import { Links } from "../host/links.ts";
import { NftFirewall } from "../host/nft.ts";
import { removeWireguard } from "../host/wireguard-link.ts";
import { MESH_DRIVER, NETWORK } from "../plugin/keeper.ts";
import { removeWaiter } from "../proxy/waiter-folder.ts";
import { systemClock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import { silentLog } from "../runtime/log.ts";
import { DATABASE_NAME } from "../store/open.ts";
import { openStore } from "../store/store.ts";
import { PIN_DIRECTORY } from "./kernel-plane.ts";
import { lockHost, RUNTIME_DIRECTORY } from "./lock.ts";
import { dockerClient } from "./proxy.ts";

/** With `keepsState` the host's key, its records and its options stay: only the kernel and the runtime directory are cleaned.
 *  @throws {UserError} a daemon still runs; then nothing was touched  @throws {SystemError} */
export async function resetHost(config: DaemonConfig, keepsState: boolean): Promise<void> {
  using _ = lockHost("cannot reset");
  const taps = readTaps(config.dataDir);
  using firewall = new NftFirewall();
  await firewall.apply({ chains: [] });
  removeKernelObjects(config.weaveBridge, taps);
  if (!keepsState) removeFiles(config.dataDir);
  removePluginSockets(config);
  rmSync(RUNTIME_DIRECTORY, { recursive: true, force: true });
}

/** Takes the network back that this daemon has made in Docker, as long as it answers for it. Returns why it stays; undefined: it does not. */
export async function removeDockerNetwork(config: DaemonConfig): Promise<string | undefined> {
  const docker = config.noPlugin ? undefined : dockerClient(config);
  return docker && (await removeNetwork(docker, NETWORK, MESH_DRIVER));
}

/** The switch with its programs wherever they run, the bridge, its ports, and these taps. */
export function removeKernelObjects(bridge: string, taps: readonly string[] = []): void {
  using links = Links.open();
  removeSwitch(links, bridge);
  removeBridge(links, bridge);
  removeWireguard(links);
  for (const tap of taps) links.delete(tap);
}

function removeSwitch(links: Links, bridge: string): void {
  const bridgeIfindex = links.get(bridge)?.index ?? 0;
  const vxlan = links.list().find((link) => link.vxlan?.external && link.master === bridgeIfindex);
  if (vxlan !== undefined) {
    try {
      Datapath.open({ bridgeIfindex, vxlanIfindex: vxlan.index, pinDir: PIN_DIRECTORY, log: silentLog }).remove();
      return;
    } catch (thrown) {
      // A switch that cannot be taken over any more, or no libbpf to do it with: without its pins the kernel lets it go.
      if (!(thrown instanceof UserError) && !(thrown instanceof MissingLibraryError) && !isSystemError(thrown)) throw thrown;
    }
  }
  if (existsSync(PIN_DIRECTORY)) rmSync(PIN_DIRECTORY, { recursive: true, force: true });
}

/** Their names are the operator's, so only the records tell which are ours. */
function readTaps(dataDir: string): string[] {
  try {
    using store = openStore(dataDir, systemClock);
    return store.attachments
      .attachments()
      .filter((attachment) => attachment.kind === "tap")
      .map((attachment) => attachment.hostLink);
  } catch (thrown) {
    if (thrown instanceof UserError) return [];
    throw thrown;
  }
}

function removeFiles(dataDir: string): void {
  rmSync(launchFilePath(dataDir), { force: true });
  removeWaiter(dataDir);
  for (const name of list(dataDir)) {
    // The database with SQLite's companions, the key, and what was kept aside of either.
    if (name.startsWith(DATABASE_NAME) || name.startsWith(IDENTITY_FILE)) rmSync(join(dataDir, name), { force: true });
  }
  if (list(dataDir).length === 0) rmdirQuietly(dataDir);
}

/** With the directories, unless something of Docker is in them. */
function removePluginSockets({ pluginSocket, pluginMeshSocket }: DaemonConfig): void {
  for (const path of [pluginSocket, pluginMeshSocket]) {
    if (existsSync(path)) rmSync(path);
    if (!path.startsWith("/run/docker/plugins/")) continue; // elsewhere the directory is somebody's
    rmdirQuietly("/run/docker/plugins");
    rmdirQuietly("/run/docker");
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // it was never made
  }
}

function rmdirQuietly(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It is not there, is a mount point, or somebody put something in: not ours to remove.
  }
}
