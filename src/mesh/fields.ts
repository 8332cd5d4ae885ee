// SPDX-License-Identifier: Apache-2.0
// Readers for values a peer sent, decoded but not yet believed. Each returns the checked value or throws; counts are bounded
// before anything is built from them.
import { ProtocolError } from "../runtime/errors.ts";
import { type PeerName, peerNameFrom, SHORT_ID_MAX, type ShortId } from "./peer-name.ts";

/** A peer has at most this many connections, a mesh at most so many peers (the short-id space). */
export const CONNECTIONS_MAX = 4096;
export const PEERS_MAX = 4096;
export const REVOKED_MAX = 8192;
const TEXT_MAX = 256;
const ADDRESS_MAX = 64;

function wrong(what: string): never {
  throw new ProtocolError(`unreadable ${what}`);
}

export function readList(value: unknown, limit: number, what: string): readonly unknown[] {
  return Array.isArray(value) && value.length <= limit ? value : wrong(what);
}

export function readName(value: unknown): PeerName {
  return peerNameFrom(value) ?? wrong("peer name");
}

/** An integer in [0, `max`]. */
export function readInteger(value: unknown, max: number, what: string): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max ? value : wrong(what);
}

export function readText(value: unknown, what: string, max = TEXT_MAX): string {
  return typeof value === "string" && value.length <= max ? value : wrong(what);
}

/** Words of a peer end up on terminals and in logs: control characters and the like become `?`. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** A text for people. */
export function readWords(value: unknown, what: string, max = TEXT_MAX): string {
  return printable(readText(value, what, max));
}

/** `ip:port` as links name their ends; not yet known to be one. */
export function readAddress(value: unknown): string {
  const text = readText(value, "address", ADDRESS_MAX);
  return /^[\w.:[\]]*$/.test(text) ? text : wrong("address");
}

export function readBoolean(value: unknown, what: string): boolean {
  return typeof value === "boolean" ? value : wrong(what);
}

export function readBytes(value: unknown, what: string): Uint8Array {
  return value instanceof Uint8Array ? value : wrong(what);
}

export function readShortId(value: unknown): ShortId {
  const id = readInteger(value, SHORT_ID_MAX, "short id");
  return id > 0 ? (id as ShortId) : wrong("short id");
}

/** `length` bytes, as lower-case hex digits. */
export function readHex(value: unknown, length: number, what: string): string {
  return value instanceof Uint8Array && value.length === length ? value.toHex() : wrong(what);
}
