// SPDX-License-Identifier: Apache-2.0
// What peers ask each other about routes: to whom do you hand frames for that peer, and how do they get there? Unicasts on a gossip channel
// of their own; MessagePack arrays that begin with a number; numbers are append-only, unknown ones and surplus fields are skipped.
//   ask   [1, token, destination]
//   tell  [2, token, neighbour or 0, transport, encrypted, MTU or 0, round trip in µs or null]
import { pack, unpack } from "../mesh/codec.ts";
import { readBoolean, readInteger, readList, readName, readText } from "../mesh/fields.ts";
import type { PeerName } from "../mesh/peer-name.ts";

export const HOP_CHANNEL = "hops";
const ASK = 1;
const TELL = 2;
const TOKEN_MAX = 2 ** 32 - 1;
const TRANSPORTS = ["fastdp", "sleeve", "none"] as const;

/** The data path from one peer to the next on a route. */
export interface HopPath {
  readonly transport: (typeof TRANSPORTS)[number];
  readonly encrypted: boolean;
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
}
export interface Ask {
  readonly type: "ask";
  readonly token: number;
  readonly destination: PeerName;
}
export interface Tell {
  readonly type: "tell";
  readonly token: number;
  /** undefined: none, because it has no route, or is the destination itself. */
  readonly next: { readonly neighbour: PeerName; readonly path: HopPath } | undefined;
}

export function encodeHopMessage(message: Ask | Tell): Uint8Array {
  if (message.type === "ask") return pack([ASK, message.token, message.destination]);
  if (!message.next) return pack([TELL, message.token, 0]);
  const { neighbour, path } = message.next;
  const rttUs = path.rttMs === null ? null : Math.min(TOKEN_MAX, Math.round(path.rttMs * 1000));
  return pack([TELL, message.token, neighbour, path.transport, path.encrypted, path.mtuBytes ?? 0, rttUs]);
}

/** undefined: of a later version. @throws {ProtocolError} */
export function decodeHopMessage(bytes: Uint8Array): Ask | Tell | undefined {
  const [kind, word, peer, ...path] = readList(unpack(bytes), 16, "hop message");
  const number = readInteger(kind, 0xffff, "hop message number");
  if (number !== ASK && number !== TELL) return undefined;
  const token = readInteger(word, TOKEN_MAX, "token");
  if (number === ASK) return { type: "ask", token, destination: readName(peer) };
  return { type: "tell", token, next: peer === 0 ? undefined : { neighbour: readName(peer), path: readPath(path) } };
}

function readPath([transport, encrypted, mtu, rtt]: readonly unknown[]): HopPath {
  const name = readText(transport, "transport");
  const mtuBytes = readInteger(mtu, 65_535, "MTU");
  return {
    transport: TRANSPORTS.find((known) => known === name) ?? "none",
    encrypted: readBoolean(encrypted, "encryption"),
    mtuBytes: mtuBytes === 0 ? null : mtuBytes,
    rttMs: rtt === null || rtt === undefined ? null : readInteger(rtt, TOKEN_MAX, "round trip") / 1000,
  };
}
