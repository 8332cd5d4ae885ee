// SPDX-License-Identifier: Apache-2.0
// HMAC (RFC 2104) over BLAKE2b and Noise's HKDF over that (Noise revision 34, section 4.3).
import { concat, HASH_BYTES, type Sealing } from "./sealing.ts";

const BLOCK_BYTES = 128; // of BLAKE2b

/** `key` has at most 128 bytes. 64 bytes. */
export function hmac(sealing: Sealing, key: Uint8Array, message: Uint8Array): Uint8Array {
  const inner = padded(key, message.length, 0x36);
  inner.set(message, BLOCK_BYTES);
  const innerHash = sealing.blake2b(inner);
  const outer = padded(key, HASH_BYTES, 0x5c);
  outer.set(innerHash, BLOCK_BYTES);
  const result = sealing.blake2b(outer);
  for (const secret of [inner, innerHash, outer]) sealing.wipe(secret);
  return result;
}

function padded(key: Uint8Array, room: number, pad: number): Uint8Array {
  const block = new Uint8Array(new ArrayBuffer(BLOCK_BYTES + room));
  block.fill(pad, 0, BLOCK_BYTES);
  for (let i = 0; i < key.length; i++) block[i] = key[i]! ^ pad;
  return block;
}

/** Two keys of 64 bytes. */
export function hkdf2(sealing: Sealing, chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const [first, second, third] = hkdf3(sealing, chainingKey, input);
  sealing.wipe(third);
  return [first, second];
}

/** Three keys of 64 bytes. */
export function hkdf3(sealing: Sealing, chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const temporary = hmac(sealing, chainingKey, input);
  const first = hmac(sealing, temporary, Uint8Array.of(1));
  const second = expand(sealing, temporary, first, 2);
  const third = expand(sealing, temporary, second, 3);
  sealing.wipe(temporary);
  return [first, second, third];
}

function expand(sealing: Sealing, temporary: Uint8Array, previous: Uint8Array, index: number): Uint8Array {
  const input = concat(previous, Uint8Array.of(index));
  const output = hmac(sealing, temporary, input);
  sealing.wipe(input);
  return output;
}
