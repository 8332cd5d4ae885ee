// SPDX-License-Identifier: Apache-2.0
// Peer records made up for tests.
import type { PeerName, ShortId } from "../../src/mesh/peer-name.ts";
import type { ConnectionEntry, PeerRecord } from "../../src/mesh/record.ts";

export function peerName(value: number): PeerName {
  return value as PeerName;
}

export function entryTo(peer: PeerName, entry: Partial<ConnectionEntry> = {}): ConnectionEntry {
  return { peer, address: "10.0.0.1:6783", outbound: true, established: true, cut: false, latencyClass: 0, ...entry };
}

/** The record of peer `value`, connected to `peers`. */
export function recordOf(value: number, peers: Iterable<number> = [], record: Partial<PeerRecord> = {}): PeerRecord {
  const connections = new Map<PeerName, ConnectionEntry>();
  for (const peer of peers) connections.set(peerName(peer), entryTo(peerName(peer)));
  return {
    name: peerName(value),
    uid: value.toString(16).padStart(16, "0"),
    version: 1,
    nickname: `peer${value}`,
    shortId: (1 + (value % 4094)) as ShortId,
    key: value.toString(16).padStart(64, "0"),
    port: 6783,
    connections,
    ...record,
  };
}

export function* range(from: number, count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield from + i;
}
