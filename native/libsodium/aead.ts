// SPDX-License-Identifier: Apache-2.0
// ChaCha20-Poly1305 as in RFC 8439 (libsodium calls it "ietf"): 32 bytes of key, 12 of nonce, 16 of tag behind the ciphertext.
import { allocate, type Bytes } from "../ffi.ts";
import { orNull, requireLength } from "./memory.ts";
import { sodium } from "./symbols.ts";

export const CHACHA_KEY_BYTES = 32;
export const CHACHA_NONCE_BYTES = 12;
export const CHACHA_TAG_BYTES = 16;

function check(key: Uint8Array, nonce: Uint8Array): void {
  requireLength(key, CHACHA_KEY_BYTES, "a ChaCha20-Poly1305 key");
  requireLength(nonce, CHACHA_NONCE_BYTES, "a ChaCha20-Poly1305 nonce");
}

/** A fresh buffer: `headroom` zero bytes for the caller's header, then ciphertext and tag. */
export function chachaSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  plaintext: Uint8Array,
  headroom = 0,
): Bytes {
  check(key, nonce);
  const sealed = allocate(headroom + plaintext.length + CHACHA_TAG_BYTES);
  const into = headroom === 0 ? sealed : sealed.subarray(headroom);
  sodium().crypto_aead_chacha20poly1305_ietf_encrypt(
    into,
    null,
    orNull(plaintext),
    plaintext.length,
    orNull(associated),
    associated.length,
    null,
    nonce,
    key,
  );
  return sealed;
}

/** The plaintext in a fresh buffer; undefined when anything was changed on the way. */
export function chachaOpen(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Bytes | undefined {
  check(key, nonce);
  if (sealed.length < CHACHA_TAG_BYTES) return undefined;
  const plaintext = allocate(sealed.length - CHACHA_TAG_BYTES);
  const result = sodium().crypto_aead_chacha20poly1305_ietf_decrypt(
    orNull(plaintext),
    null,
    null,
    sealed,
    sealed.length,
    orNull(associated),
    associated.length,
    nonce,
    key,
  );
  return result === 0 ? plaintext : undefined;
}

/** AES-256-GCM needs the CPU's help in libsodium; without it ChaCha20-Poly1305 is used. */
export function hasAes256Gcm(): boolean {
  return sodium().crypto_aead_aes256gcm_is_available() === 1;
}
