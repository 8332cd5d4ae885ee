// SPDX-License-Identifier: Apache-2.0
// Peer records and their deltas as MessagePack arrays, fields in this order; surplus fields are skipped.
//   entry   [peer, address, flags]   flags: 1 outbound, 2 established, 4 cut, from bit 4 the latency class
//   record  [name, uid, version, nickname, short id, key, port, [entry...]]
//   delta   [name, uid, base, version, short id, [removed peer...], [entry...]]
import { CONNECTIONS_MAX, readAddress, readHex, readInteger, readList, readName, readShortId, readWords } from "./fields.ts";
import type { PeerName } from "./peer-name.ts";
import { type ConnectionEntry, type PeerRecord, type RecordDelta, VERSION_MAX } from "./record.ts";

const OUTBOUND = 1;
const ESTABLISHED = 2;
const CUT = 4;
const CLASS_SHIFT = 4;

export function packUid(uid: string): Uint8Array {
  return Uint8Array.fromHex(uid);
}

/** 16 hex digits. @throws {ProtocolError} */
export function readUid(value: unknown): string {
  return readHex(value, 8, "uid");
}

function packEntry(entry: ConnectionEntry): unknown[] {
  const states = (entry.outbound ? OUTBOUND : 0) | (entry.established ? ESTABLISHED : 0) | (entry.cut ? CUT : 0);
  const flags = states | (entry.latencyClass << CLASS_SHIFT);
  return [entry.peer, entry.address, flags];
}

function readEntry(value: unknown): ConnectionEntry {
  const [peer, address, flags] = readList(value, 16, "connection");
  const bits = readInteger(flags, 0xffff, "connection flags");
  return {
    peer: readName(peer),
    address: readAddress(address),
    outbound: (bits & OUTBOUND) !== 0,
    established: (bits & ESTABLISHED) !== 0,
    cut: (bits & CUT) !== 0,
    latencyClass: (bits >> CLASS_SHIFT) & 7,
  };
}

export function packRecord(record: PeerRecord): unknown[] {
  const { name, uid, version, nickname, shortId, key, port, connections } = record;
  const entries = Array.from(connections.values(), packEntry);
  return [name, packUid(uid), version, nickname, shortId, Uint8Array.fromHex(key), port, entries];
}

/** @throws {ProtocolError} */
export function readRecord(value: unknown): PeerRecord {
  const [name, uid, version, nickname, shortId, key, port, entries] = readList(value, 32, "record");
  const connections = new Map<PeerName, ConnectionEntry>();
  for (const item of readList(entries, CONNECTIONS_MAX, "connections")) {
    const entry = readEntry(item);
    connections.set(entry.peer, entry);
  }
  return {
    name: readName(name),
    uid: readUid(uid),
    version: readInteger(version, VERSION_MAX, "record version"),
    nickname: readWords(nickname, "nickname"),
    shortId: readShortId(shortId),
    key: readHex(key, 32, "public key"),
    port: readInteger(port, 65_535, "port"),
    connections,
  };
}

export function packDelta(delta: RecordDelta): unknown[] {
  const { name, uid, base, version, shortId, removed, changed } = delta;
  return [name, packUid(uid), base, version, shortId, removed, changed.map(packEntry)];
}

/** @throws {ProtocolError} */
export function readDelta(value: unknown): RecordDelta {
  const [name, uid, base, version, shortId, removed, changed] = readList(value, 32, "delta");
  return {
    name: readName(name),
    uid: readUid(uid),
    base: readInteger(base, VERSION_MAX, "record version"),
    version: readInteger(version, VERSION_MAX, "record version"),
    shortId: readShortId(shortId),
    removed: readList(removed, CONNECTIONS_MAX, "removed connections").map(readName),
    changed: readList(changed, CONNECTIONS_MAX, "changed connections").map(readEntry),
  };
}
