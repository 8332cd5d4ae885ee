// SPDX-License-Identifier: Apache-2.0
// What a daemon needs of its last life to take over without anyone noticing: all records, its neighbours, its short id. Kept by the
// store, handed back at the next start when it is young enough and from the same boot.
import { pack, unpack } from "./codec.ts";
import {
  PEERS_MAX,
  REVOKED_MAX,
  readBoolean,
  readHex,
  readInteger,
  readList,
  readName,
  readShortId,
  readText,
} from "./fields.ts";
import type { Acquaintance } from "./neighbour.ts";
import type { PeerName, ShortId } from "./peer-name.ts";
import type { PeerRecord } from "./record.ts";
import { packRecord, packUid, readRecord, readUid } from "./record-codec.ts";

const FORMAT = 1;

export interface RestoredMesh {
  /** Wall-clock ms when it was written. */
  readonly savedAtMs: number;
  readonly name: PeerName;
  readonly version: number;
  readonly shortId: ShortId;
  readonly records: readonly PeerRecord[];
  /** Those with an established path. */
  readonly neighbours: readonly Acquaintance[];
  /** Public keys, 64 hex digits each. */
  readonly revoked: readonly string[];
}

/** For the store. */
export function encodeRestored(mesh: RestoredMesh): Uint8Array {
  const neighbours = mesh.neighbours.map((it) => [
    it.name,
    it.nickname,
    packUid(it.uid),
    Uint8Array.fromHex(it.key),
    it.shortId,
    it.port,
    it.address,
    it.outbound,
    it.passwordUsed,
    it.trusted,
    it.transports,
  ]);
  const revoked = mesh.revoked.map((key) => Uint8Array.fromHex(key));
  const records = mesh.records.map(packRecord);
  return pack([FORMAT, mesh.savedAtMs, mesh.name, mesh.version, mesh.shortId, records, neighbours, revoked]);
}

/** undefined: another format. @throws {ProtocolError} damaged */
export function decodeRestored(bytes: Uint8Array): RestoredMesh | undefined {
  const [format, savedAtMs, name, version, shortId, records, neighbours, revoked] = readList(unpack(bytes), 32, "saved mesh");
  if (format !== FORMAT) return undefined;
  return {
    savedAtMs: readInteger(savedAtMs, Number.MAX_SAFE_INTEGER, "time"),
    name: readName(name),
    version: readInteger(version, Number.MAX_SAFE_INTEGER, "record version"),
    shortId: readShortId(shortId),
    records: readList(records, PEERS_MAX, "records").map(readRecord),
    neighbours: readList(neighbours, PEERS_MAX, "neighbours").map(readAcquaintance),
    revoked: readList(revoked, REVOKED_MAX, "revoked keys").map((key) => readHex(key, 32, "public key")),
  };
}

function readAcquaintance(value: unknown): Acquaintance {
  const [name, nickname, uid, key, shortId, port, address, outbound, passwordUsed, trusted, transports] = readList(
    value,
    32,
    "neighbour",
  );
  return {
    name: readName(name),
    nickname: readText(nickname, "nickname"),
    uid: readUid(uid),
    key: readHex(key, 32, "public key"),
    shortId: readShortId(shortId),
    port: readInteger(port, 65_535, "port"),
    address: readText(address, "address", 64),
    outbound: readBoolean(outbound, "direction"),
    passwordUsed: readBoolean(passwordUsed, "password use"),
    trusted: readBoolean(trusted, "trust"),
    transports: readList(transports, 16, "transports").map((transport) => readText(transport, "transport")),
  };
}
