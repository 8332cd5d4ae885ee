// SPDX-License-Identifier: Apache-2.0
// Random bytes, wiping and comparing. Secrets live in memory whose address never changes, so that wiping reaches the only copy.
import { allocate, type Bytes } from "../ffi.ts";
import { sodium } from "./symbols.ts";

export function randomBytes(length: number): Bytes {
  const bytes = allocate(length);
  if (length > 0) sodium().randombytes_buf(bytes, length);
  return bytes;
}

/** Zeroes `bytes` in a way no compiler removes. */
export function wipe(bytes: Uint8Array): void {
  if (bytes.length > 0) sodium().sodium_memzero(bytes, bytes.length);
}

/** Compares in constant time. False when the lengths differ. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && (a.length === 0 || sodium().sodium_memcmp(a, b, a.length) === 0);
}

/** @throws {RangeError} `bytes` has another length; C would read or write past its end */
export function requireLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} has ${length} bytes, not ${bytes.length}`);
}

/** C takes NULL for nothing; an empty view has no address. */
export function orNull(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}
