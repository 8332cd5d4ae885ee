// SPDX-License-Identifier: Apache-2.0
// Messages as bytes: MessagePack arrays, the shapes and numbers of message.ts. Decoding is total: it returns a checked
// message, undefined for a number it does not know, or throws ProtocolError; never anything else.
import { Packr } from "msgpackr/pack";
import { ProtocolError } from "../runtime/errors.ts";
import { PEERS_MAX, REVOKED_MAX, readBoolean, readBytes, readHex, readInteger, readList, readName, readText } from "./fields.ts";
import type { Message } from "./message.ts";
import { VERSION_MAX } from "./record.ts";
import { packDelta, packRecord, packUid, readDelta, readRecord, readUid } from "./record-codec.ts";
import { isPlainMessagePack } from "./secure/plain-messagepack.ts";

const UINT32_MAX = 2 ** 32 - 1;
const CHANNELS_MAX = 64;
const REFERRALS_MAX = 64;
const SEQUENCE_MAX = Number.MAX_SAFE_INTEGER;

// The entry `msgpackr/pack` is the library without its native add-on. No records extension, plain arrays only.
const packr = new Packr({ useRecords: false, mapsAsObjects: false, moreTypes: false });

/** A fresh buffer, owned by the caller. */
export function pack(value: unknown): Uint8Array {
  return Uint8Array.from(packr.pack(value));
}

/** Records in a message hold connections in lists, four deep; later versions may need more. As many values as there are bytes. */
const LIMITS = { depth: 8, values: Number.POSITIVE_INFINITY };

/** @throws {ProtocolError} not one plain MessagePack value */
export function unpack(bytes: Uint8Array): unknown {
  if (!isPlainMessagePack(bytes, LIMITS)) throw new ProtocolError("not plain MessagePack");
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw new ProtocolError("not MessagePack", { cause });
  }
}

export function encodeMessage(message: Message): Uint8Array {
  return pack(fieldsOf(message));
}

function fieldsOf(message: Message): unknown[] {
  switch (message.type) {
    case "welcome":
      return [1, packUid(message.knownUid), message.knownVersion];
    case "digest":
      return [2, message.records, message.peers, message.askList, message.revoked, message.channels];
    case "list":
      return [3, message.versions.map((entry) => [entry.name, packUid(entry.uid), entry.version])];
    case "records":
      return [4, message.records.map(packRecord), message.want];
    case "delta":
      return [5, message.root, packDelta(message.delta)];
    case "record":
      return [6, message.root, packRecord(message.record)];
    case "ping":
      return [7, message.token];
    case "pong":
      return [8, message.token];
    case "path":
      return [9, message.up, message.ask];
    case "suspect":
      return [10, message.peer];
    case "leave":
      return [11, message.comesBack];
    case "broadcast":
      return [12, message.root, message.source, packUid(message.uid), message.sequence, message.channel, message.payload];
    case "unicast":
      return [13, message.source, message.destination, message.hopsLeft, message.channel, message.payload];
    case "channel-digest":
      return [14, message.channel, message.digest];
    case "channel-repair":
      return [15, message.channel, message.payload, message.digest];
    case "revoked":
      return [16, message.keys.map((key) => Uint8Array.fromHex(key))];
    case "refer":
      return [17, message.peers.map((peer) => [peer.name, peer.address])];
    case "paths":
      return [18, message.payload];
    default:
      return message satisfies never;
  }
}

/** undefined: a message of a kind we do not know, to be skipped. @throws {ProtocolError} */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  const [type, ...fields] = readList(unpack(bytes), 64, "message");
  const reader = READERS[readInteger(type, UINT32_MAX, "message number")];
  return reader?.(fields);
}

type Fields = readonly unknown[];
const channelName = (value: unknown): string => readText(value, "channel name", 64);

const READERS: readonly (((fields: Fields) => Message) | undefined)[] = [
  undefined,
  ([uid, version]) => ({
    type: "welcome",
    knownUid: readUid(uid),
    knownVersion: readInteger(version, VERSION_MAX, "record version"),
  }),
  ([records, peers, askList, revoked, channels]) => ({
    type: "digest",
    records: readSums(records),
    peers: readInteger(peers, PEERS_MAX, "peer count"),
    askList: readBoolean(askList, "digest"),
    revoked: readInteger(revoked, UINT32_MAX, "digest"),
    channels: readList(channels, CHANNELS_MAX, "channel digests").map((channel) => {
      const [name, hash] = readList(channel, 8, "channel digest");
      return [channelName(name), readInteger(hash, UINT32_MAX, "channel digest")] as const;
    }),
  }),
  ([versions]) => ({
    type: "list",
    versions: readList(versions, PEERS_MAX, "list").map((entry) => {
      const [name, uid, version] = readList(entry, 8, "list entry");
      return { name: readName(name), uid: readUid(uid), version: readInteger(version, VERSION_MAX, "record version") };
    }),
  }),
  ([records, want]) => ({
    type: "records",
    records: readList(records, PEERS_MAX, "records").map(readRecord),
    want: readList(want, PEERS_MAX, "wanted names").map(readName),
  }),
  ([root, delta]) => ({ type: "delta", root: readName(root), delta: readDelta(delta) }),
  ([root, record]) => ({ type: "record", root: readName(root), record: readRecord(record) }),
  ([token]) => ({ type: "ping", token: readInteger(token, UINT32_MAX, "ping") }),
  ([token]) => ({ type: "pong", token: readInteger(token, UINT32_MAX, "pong") }),
  ([up, ask]) => ({ type: "path", up: readBoolean(up, "path state"), ask: readBoolean(ask, "path state") }),
  ([peer]) => ({ type: "suspect", peer: readName(peer) }),
  ([comesBack]) => ({ type: "leave", comesBack: readBoolean(comesBack, "leave") }),
  ([root, source, uid, sequence, channel, payload]) => ({
    type: "broadcast",
    root: readName(root),
    source: readName(source),
    uid: readUid(uid),
    sequence: readInteger(sequence, SEQUENCE_MAX, "sequence"),
    channel: channelName(channel),
    payload: readBytes(payload, "gossip"),
  }),
  ([source, destination, hopsLeft, channel, payload]) => ({
    type: "unicast",
    source: readName(source),
    destination: readName(destination),
    hopsLeft: readInteger(hopsLeft, 255, "hop limit"),
    channel: channelName(channel),
    payload: readBytes(payload, "gossip"),
  }),
  ([channel, digest]) => ({ type: "channel-digest", channel: channelName(channel), digest: readBytes(digest, "digest") }),
  ([channel, payload, digest]) => ({
    type: "channel-repair",
    channel: channelName(channel),
    payload: readBytes(payload, "gossip"),
    digest: readBytes(digest, "digest"),
  }),
  ([keys]) => ({
    type: "revoked",
    keys: readList(keys, REVOKED_MAX, "revoked keys").map((key) => readHex(key, 32, "public key")),
  }),
  ([peers]) => ({
    type: "refer",
    peers: readList(peers, REFERRALS_MAX, "referrals").map((referral) => {
      const [name, address] = readList(referral, 8, "referral");
      return { name: readName(name), address: readText(address, "address", 64) };
    }),
  }),
  ([payload]) => ({ type: "paths", payload: readBytes(payload, "path message") }),
];

function readSums(value: unknown): readonly [number, number] {
  const [first, second] = readList(value, 2, "digest");
  return [readInteger(first, UINT32_MAX, "digest"), readInteger(second, UINT32_MAX, "digest")];
}
