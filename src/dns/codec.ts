// SPDX-License-Identifier: Apache-2.0
// The names channel's messages: MessagePack lists. Decoding is total; counts and lengths are bounded before anything is built.
//   deltas  [[origin, epoch, from, to, floor, [[name, container, address, version, removed], …]], …]
//   digest  [[origin, epoch, seen, floor], …], sorted by origin
import { pack, unpack } from "../mesh/codec.ts";
import { PEERS_MAX, readBoolean, readInteger, readList, readName, readText } from "../mesh/fields.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { ProtocolError } from "../runtime/errors.ts";
import { CONTAINER_MAX, type Entry, whyBadEntry } from "./entry.ts";
import type { Change, Delta, Standing } from "./replica.ts";

/** Changes in one delta: even the longest fit a message of the mesh, which has 1 MiB. */
export const CHANGES_MAX = 1024;
const NUMBER_MAX = Number.MAX_SAFE_INTEGER;
/** The writer must be able to rise above whatever somebody claims. */
export const EPOCH_MAX = 2 ** 52;

export type OriginDelta = Delta & { readonly origin: PeerName };
export type Digest = ReadonlyMap<PeerName, Standing>;

export function encodeDeltas(deltas: readonly OriginDelta[]): Uint8Array {
  return pack(
    deltas.map(({ origin, epoch, from, to, floor, changes }) => [
      origin,
      epoch,
      from,
      to,
      floor,
      changes.map(({ entry, version, removed }) => [entry.name, entry.container, entry.address, version, removed]),
    ]),
  );
}

/** @throws {ProtocolError} */
export function decodeDeltas(bytes: Uint8Array): OriginDelta[] {
  let left = CHANGES_MAX;
  return readList(unpack(bytes), PEERS_MAX, "names").map((item) => {
    const [origin, epoch, from, to, floor, changes] = readList(item, 16, "names of a peer");
    const range = { from: readInteger(from, NUMBER_MAX, "names"), to: readInteger(to, NUMBER_MAX, "names") };
    const list = readList(changes, left, "changed names").map((change) => readChange(change, range));
    left -= list.length;
    return {
      origin: readName(origin),
      epoch: readInteger(epoch, EPOCH_MAX, "epoch"),
      ...range,
      floor: readInteger(floor, NUMBER_MAX, "names"),
      changes: list,
    };
  });
}

function readChange(value: unknown, { from, to }: { from: number; to: number }): Change {
  const [name, container, address, version, removed] = readList(value, 16, "name");
  const number = readInteger(version, to, "version of a name");
  if (number <= from) throw new ProtocolError("unreadable version of a name");
  return { entry: readEntry(name, container, address), version: number, removed: readBoolean(removed, "name") };
}

function readEntry(name: unknown, container: unknown, address: unknown): Entry {
  const entry = {
    name: readText(name, "name"),
    container: readText(container, "container", CONTAINER_MAX),
    address: readAddress(address),
  };
  const why = whyBadEntry(entry);
  if (why !== undefined || /\p{Cc}/u.test(entry.container)) throw new ProtocolError(`unreadable name: ${why ?? "container"}`);
  return entry;
}

function readAddress(value: unknown): Ip {
  const text = readText(value, "address", 64);
  const ip = parseIp(text);
  if (ip === undefined || ip !== text) throw new ProtocolError("unreadable address");
  return ip;
}

export function encodeDigest(digest: Digest): Uint8Array {
  const sorted = [...digest].sort(([a], [b]) => a - b);
  return pack(sorted.map(([origin, { epoch, seen, floor }]) => [origin, epoch, seen, floor]));
}

/** @throws {ProtocolError} */
export function decodeDigest(bytes: Uint8Array): Map<PeerName, Standing> {
  const digest = new Map<PeerName, Standing>();
  if (bytes.length === 0) return digest;
  for (const item of readList(unpack(bytes), PEERS_MAX, "digest of names")) {
    const [origin, epoch, seen, floor] = readList(item, 16, "digest of names");
    digest.set(readName(origin), {
      epoch: readInteger(epoch, EPOCH_MAX, "epoch"),
      seen: readInteger(seen, NUMBER_MAX, "digest of names"),
      floor: readInteger(floor, NUMBER_MAX, "digest of names"),
    });
  }
  return digest;
}
