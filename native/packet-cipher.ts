// SPDX-License-Identifier: Apache-2.0
// Sealing and opening many packets where they lie, without a copy or an object for any of them, by whichever library does it:
// AES-256-GCM (NIST SP 800-38D) or ChaCha20-Poly1305 (RFC 8439). Both have keys of 32, nonces of 12 and tags of 16 bytes.
import type { Block } from "./ffi.ts";

export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

export type AeadName = "aes256gcm" | "chacha20poly1305";

/** One key, ready for use. The nonce is four zero bytes and a counter of eight bytes, big-endian, kept here: set it before each call.
 *  Disposing forgets the key. */
export interface PacketCipher extends Disposable {
  /** `high` and `low` are 32 bits each. */
  setCounter(high: number, low: number): void;
  /** Seals `length` bytes at `fromAt`. `intoAt` holds the associated data; sealed bytes and tag go behind it, perhaps over the original. */
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void;
  /** Opens, in place, `length` bytes and tag behind the associated data at `at`. False: they are not what was sealed; they are zeros now, or
   *  as they were. */
  open(block: Block, at: number, associatedBytes: number, length: number): boolean;
}
