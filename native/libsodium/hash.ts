// SPDX-License-Identifier: Apache-2.0
// BLAKE2b (RFC 7693) and SHA-512 of whole messages.
import { allocate, type Bytes } from "../ffi.ts";
import { orNull } from "./memory.ts";
import { sodium } from "./symbols.ts";

export const BLAKE2B_MAX_BYTES = 64;
const BLAKE2B_MIN_BYTES = 16;
export const SHA512_BYTES = 64;

/** Unkeyed. @throws {RangeError} `length` is not 16 .. 64 */
export function blake2b(message: Uint8Array, length = BLAKE2B_MAX_BYTES): Bytes {
  if (length < BLAKE2B_MIN_BYTES || length > BLAKE2B_MAX_BYTES)
    throw new RangeError(`BLAKE2b gives 16 to 64 bytes, not ${length}`);
  const digest = allocate(length);
  sodium().crypto_generichash(digest, length, orNull(message), message.length, null, 0);
  return digest;
}

export function sha512(message: Uint8Array): Bytes {
  const digest = allocate(SHA512_BYTES);
  sodium().crypto_hash_sha512(digest, orNull(message), message.length);
  return digest;
}
