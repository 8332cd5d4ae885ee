// SPDX-License-Identifier: Apache-2.0
// What the mesh keeps over restarts, and which targets count at a start.
import { readFileSync } from "node:fs";
import type { DaemonConfig } from "../config/load.ts";
import { decodeRestored, encodeRestored, type RestoredMesh } from "../mesh/restore.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Store } from "../store/store.ts";

const LAUNCH_KEY = "launch-id";
const REVOKED_KEY = "revoked-keys";

/** A restart keeps the targets that `connect` and `forget` have left, a new launch begins with its own. */
export function initialTargets(store: Store, config: DaemonConfig): readonly string[] {
  const targets = isSameLaunch(store, config) || config.resume ? store.targets.list() : config.peers;
  store.batch(() => {
    store.settings.set(LAUNCH_KEY, config.launchId);
    store.targets.replace(targets);
  });
  return targets;
}

/** The configuration names the peers it named before, so those that `connect` and `forget` have left count. */
export function isSameLaunch(store: Store, { launchId }: DaemonConfig): boolean {
  return launchId !== "" && store.settings.get(LAUNCH_KEY) === launchId;
}

/** Random, new at each boot of the kernel. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** The mesh as the last daemon of this boot left it; undefined when there is none or it cannot be read. */
export function loadMesh(store: Store, bootId: string, log: Log): RestoredMesh | undefined {
  const stored = store.meshState.load();
  if (!stored || stored.bootId !== bootId) return undefined;
  try {
    return decodeRestored(stored.bytes);
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    log.warn("saved state of the mesh is not readable, starting afresh", { reason: errorText(thrown) });
    return undefined;
  }
}

/** Saves the mesh; a full disk is logged and must not stop frames. */
export function saveMesh(store: Store, state: RestoredMesh, context: { bootId: string; clock: Clock; log: Log }): void {
  try {
    store.batch(() => {
      store.meshState.save({ bytes: encodeRestored(state), wallMs: context.clock.wallMs(), bootId: context.bootId });
      store.settings.set(REVOKED_KEY, state.revoked.join(" "));
    });
  } catch (thrown) {
    context.log.error("state of the mesh cannot be saved", { reason: errorText(thrown) });
  }
}

/** Keys revoked in the network, also from before the last boot. */
export function loadRevoked(store: Store): readonly string[] {
  return store.settings.get(REVOKED_KEY)?.split(" ").filter(Boolean) ?? [];
}
