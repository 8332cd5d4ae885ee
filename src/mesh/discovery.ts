// SPDX-License-Identifier: Apache-2.0
// Whom to connect to beyond the targets, and at which addresses. Small meshes are full; beyond three quarters of the connection limit
// each peer keeps a random few, enough that the mesh stays in one piece and two or three hops wide, and leaves the rest of its limit
// to those who choose it.

import { parseIpPort } from "../net/endpoint.ts";
import { type Random, shuffled } from "../runtime/random.ts";
import { atPort, ipOf } from "./address.ts";
import { mixPair, ringPosition } from "./mix.ts";
import type { PeerName } from "./peer-name.ts";
import type { PeerRecord } from "./record.ts";

/** Of two that learn of each other only one dials at once; the other waits whether that succeeds. */
export const SECOND_DIALLER_MS = 1000;

/** True when `self` is the one to dial first. */
export function dialsFirst(self: PeerName, other: PeerName): boolean {
  const [low, high] = self < other ? [self, other] : [other, self];
  const isLowFirst = (mixPair(ringPosition(low), ringPosition(high)) & 1) === 0;
  return (self === low) === isLowFirst;
}

/** How many neighbours a peer looks for by itself in a mesh of `others` besides itself; `limit` 0: no limit. */
export function wantedDegree(others: number, limit: number): number {
  if (limit === 0 || others <= Math.floor(limit * 0.75)) return others;
  return Math.max(Math.min(2, limit), Math.floor(limit * 0.375));
}

/** Slots that only strangers to the mesh may fill. */
export function reservedSlots(limit: number): number {
  return Math.floor(limit / 10);
}

export interface Candidate {
  readonly name: PeerName;
  /** Connections by its own record. */
  readonly degree: number;
}

/** Whom to dial beyond `connected` neighbours: those with free slots, the less connected first, otherwise by chance. */
export function choosePeers(random: Random, candidates: readonly Candidate[], connected: number, limit: number): PeerName[] {
  const missing = wantedDegree(candidates.length + connected, limit) - connected;
  if (missing <= 0) return [];
  if (missing >= candidates.length) return candidates.map((candidate) => candidate.name);
  const free = shuffled(random, candidates).filter((candidate) => candidate.degree < limit - reservedSlots(limit));
  // Better of two by chance: spreads, without all choosing the same few.
  const chosen = new Set<PeerName>();
  for (let at = 0; at + 1 < free.length && chosen.size < missing; at += 2) {
    const [a, b] = [free[at]!, free[at + 1]!];
    chosen.add((a.degree <= b.degree ? a : b).name);
  }
  for (const candidate of free) if (chosen.size < missing) chosen.add(candidate.name);
  return [...chosen];
}

/** Where `peer` may be reached: as its neighbours reach it, those seen by most first. */
export function addressesOf(peer: PeerName, port: number | undefined, records: Iterable<PeerRecord>): string[] {
  const votes = new Map<string, { outbound: boolean; count: number }>();
  for (const record of records) {
    const entry = record.connections.get(peer);
    if (!entry || record.name === peer) continue;
    const seen = entry.outbound ? entry.address : ipOf(entry.address);
    const vote = votes.get(seen);
    if (vote) vote.count++;
    else votes.set(seen, { outbound: entry.outbound, count: 1 });
  }
  const ranked = [...votes].sort(([a, first], [b, second]) => second.count - first.count || (a < b ? -1 : 1));
  const addresses = ranked.map(([seen, vote]) => (vote.outbound || port === undefined ? seen : atPort(seen, port)));
  return [...new Set(addresses.filter((address) => address !== undefined && parseIpPort(address) !== undefined))] as string[];
}
