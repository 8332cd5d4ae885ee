// SPDX-License-Identifier: Apache-2.0
// X25519 (RFC 7748): crypto_scalarmult.
import { allocate, type Bytes } from "../ffi.ts";
import { randomBytes, requireLength } from "./memory.ts";
import { sodium } from "./symbols.ts";

export const X25519_BYTES = 32;

/** A fresh secret key: 32 random bytes; the function itself clamps them. */
export function newSecretKey(): Bytes {
  return randomBytes(X25519_BYTES);
}

export function publicKeyOf(secretKey: Uint8Array): Bytes {
  requireLength(secretKey, X25519_BYTES, "an X25519 secret key");
  const publicKey = allocate(X25519_BYTES);
  sodium().crypto_scalarmult_base(publicKey, secretKey);
  return publicKey;
}

/** undefined: the public key is a point of low order, the result would be known to everybody (all zero). */
export function sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Bytes | undefined {
  requireLength(secretKey, X25519_BYTES, "an X25519 secret key");
  requireLength(publicKey, X25519_BYTES, "an X25519 public key");
  const shared = allocate(X25519_BYTES);
  return sodium().crypto_scalarmult(shared, secretKey, publicKey) === 0 ? shared : undefined;
}
