// SPDX-License-Identifier: Apache-2.0
// Who a peer is: 48 bits shown like a MAC, by default taken from its public key. A nickname beside it is for people only.
import { formatMac, parseMac } from "../net/mac.ts";

declare const brand: unique symbol;
/** 48 bits, non-zero; unique in one mesh. */
export type PeerName = number & { readonly [brand]: "PeerName" };
/** 12 bits, 1..4094: a peer in the VNI. 0 stands for none, 0xfff for "flood along the source's tree". */
export type ShortId = number & { readonly [brand]: "ShortId" };

export const SHORT_ID_FLOOD = 0xfff;
export const SHORT_ID_MAX = 0xffe;

/** undefined when `value` is not a usable 48-bit name; for decoders. */
export function peerNameFrom(value: unknown): PeerName | undefined {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 2 ** 48 ? (value as PeerName) : undefined;
}

/** Reads `66:b4:a1:85:da:65`, with `::` standing for any number of zero bytes (`::1`), as `--name` takes it. */
export function parsePeerName(text: string): PeerName | undefined {
  const [left = "", right, ...more] = text.split("::");
  if (more.length > 0) return undefined;
  if (right === undefined) return peerNameFrom(parseMac(text));
  const head = left === "" ? [] : left.split(":");
  const tail = right === "" ? [] : right.split(":");
  const missing = 6 - head.length - tail.length;
  if (missing < 1 || ![...head, ...tail].every((byte) => /^[0-9a-f]{1,2}$/i.test(byte))) return undefined;
  const bytes = [...head, ...new Array<string>(missing).fill("00"), ...tail];
  return peerNameFrom(parseMac(bytes.map((byte) => byte.padStart(2, "0")).join(":")));
}

export function formatPeerName(name: PeerName): string {
  return formatMac(name);
}

/** `66:b4:a1:85:da:65(node2)` */
export function formatPeer(name: PeerName, nickname: string): string {
  return `${formatMac(name)}(${nickname})`;
}
