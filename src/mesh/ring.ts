// SPDX-License-Identifier: Apache-2.0
// Who watches whom. All peers stand on a ring at hashed positions; each asks its next few neighbours in steps of a second, so every
// peer is watched by a few, whatever the size of the mesh, and nobody is watched by all.
import { ringPosition } from "./mix.ts";
import type { PeerName } from "./peer-name.ts";

/** How many each peer watches closely in a mesh of `peers`: enough that all watchers of one peer rarely die with it. */
export function watchCount(peers: number): number {
  return Math.min(10, Math.max(1, Math.round(peers / 50)));
}

/** The `count` of `candidates` that follow `self` on the ring, nearest first. */
export function successors(self: PeerName, candidates: Iterable<PeerName>, count: number): PeerName[] {
  const from = ringPosition(self);
  const nearest: { peer: PeerName; distance: number }[] = [];
  for (const peer of candidates) {
    if (peer === self) continue;
    const distance = (ringPosition(peer) - from) >>> 0;
    const worst = nearest[count - 1];
    if (worst !== undefined && distance >= worst.distance) continue;
    const at = nearest.findIndex((other) => distance < other.distance);
    nearest.splice(at < 0 ? nearest.length : at, 0, { peer, distance });
    if (nearest.length > count) nearest.pop();
  }
  return nearest.map((entry) => entry.peer);
}

/** Whether `watcher`, whose neighbours are `neighbours`, watches `self`. */
export function watches(watcher: PeerName, neighbours: Iterable<PeerName>, self: PeerName, count: number): boolean {
  const from = ringPosition(watcher);
  const own = (ringPosition(self) - from) >>> 0;
  let nearer = 0;
  for (const peer of neighbours) {
    if (peer !== self && peer !== watcher && (ringPosition(peer) - from) >>> 0 < own && ++nearer >= count) return false;
  }
  return true;
}
