// SPDX-License-Identifier: Apache-2.0
// The record each peer owns: who it is and whom it is connected to. Only its owner raises its version; everyone else
// keeps the highest it has seen. Records are values: a change makes a new one.
import type { PeerName, ShortId } from "./peer-name.ts";

/** One end's word about a connection; it counts for routing only when the other end says the same. */
export interface ConnectionEntry {
  readonly peer: PeerName;
  /** The other end's `ip:port` on the underlay, as this end sees it. */
  readonly address: string;
  readonly outbound: boolean;
  /** Frames may flow. */
  readonly established: boolean;
  /** The path was lost and the control connection has not answered since: not even gossip should go this way. */
  readonly cut: boolean;
  /** Coarse round-trip time, 0 (near) .. 7; see latency.ts. */
  readonly latencyClass: number;
}

export interface PeerRecord {
  readonly name: PeerName;
  /** 16 lower-case hex digits, new at every process start. */
  readonly uid: string;
  /** 1 and up, and from the highest on to 1 again; see `isLater`. */
  readonly version: number;
  readonly nickname: string;
  readonly shortId: ShortId;
  /** Public key, 64 lower-case hex digits. */
  readonly key: string;
  /** TCP port it listens on. */
  readonly port: number;
  readonly connections: ReadonlyMap<PeerName, ConnectionEntry>;
}

/** What turns version `base` of a record into `version`. */
export interface RecordDelta {
  readonly name: PeerName;
  readonly uid: string;
  readonly base: number;
  readonly version: number;
  readonly shortId: ShortId;
  readonly removed: readonly PeerName[];
  readonly changed: readonly ConnectionEntry[];
}

/** Records larger than this many connections are broadcast as deltas, smaller ones whole. */
export const WHOLE_RECORD_LIMIT = 8;

export function sameEntry(a: ConnectionEntry, b: ConnectionEntry): boolean {
  return (
    a.peer === b.peer &&
    a.address === b.address &&
    a.outbound === b.outbound &&
    a.established === b.established &&
    a.cut === b.cut &&
    a.latencyClass === b.latencyClass
  );
}

/** The highest version; 53 bits. */
export const VERSION_MAX = Number.MAX_SAFE_INTEGER;

const HALF_CIRCLE = 2 ** 52;

/** Versions go round like serial numbers (RFC 1982): of two, the later one is at most half the circle ahead. So there is no highest
 *  version, and whatever somebody claims about a peer, that peer can go above it. */
export function isLater(a: number, b: number): boolean {
  const ahead = a >= b ? a - b : a - b + 2 * HALF_CIRCLE;
  return ahead !== 0 && (ahead < HALF_CIRCLE || (ahead === HALF_CIRCLE && a > b));
}

export function versionAfter(version: number): number {
  return version >= VERSION_MAX ? 1 : version + 1;
}

/** True when `a` replaces `b`: the later version, and between lives of equal version the higher uid. */
export function isNewer(a: { uid: string; version: number }, b: { uid: string; version: number }): boolean {
  return a.version !== b.version ? isLater(a.version, b.version) : a.uid > b.uid;
}

/** The way from `base` to `next`, two versions of one life of one peer. */
export function diffRecords(base: PeerRecord, next: PeerRecord): RecordDelta {
  const removed = [...base.connections.keys()].filter((peer) => !next.connections.has(peer));
  const changed: ConnectionEntry[] = [];
  for (const entry of next.connections.values()) {
    const before = base.connections.get(entry.peer);
    if (!before || !sameEntry(before, entry)) changed.push(entry);
  }
  return { name: next.name, uid: next.uid, base: base.version, version: next.version, shortId: next.shortId, removed, changed };
}

/** `record` brought to `delta.version`; undefined when it is not the version the delta starts from. */
export function applyDelta(record: PeerRecord, delta: RecordDelta): PeerRecord | undefined {
  if (record.name !== delta.name || record.uid !== delta.uid || record.version !== delta.base) return undefined;
  const connections = new Map(record.connections);
  for (const peer of delta.removed) connections.delete(peer);
  for (const entry of delta.changed) connections.set(entry.peer, entry);
  return { ...record, version: delta.version, shortId: delta.shortId, connections };
}
