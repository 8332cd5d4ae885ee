// SPDX-License-Identifier: Apache-2.0
// The primitives the secure channel needs, as a port: `host/sealing.ts` fits libsodium to it. Everything returned is a fresh buffer that
// belongs to the caller; secrets among them are wiped by whoever holds them last.

export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const HASH_BYTES = 64;
export const ELEMENT_BYTES = 32;

export interface Sealing {
  /** Unpredictable bytes, fit for keys and nonces. */
  random(length: number): Uint8Array;
  /** A fresh X25519 key pair. */
  keyPair(): KeyPair;
  /** X25519; undefined when the public key is of low order. Both have 32 bytes. */
  sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
  /** 64 bytes. */
  blake2b(message: Uint8Array): Uint8Array;
  /** 64 bytes. */
  sha512(message: Uint8Array): Uint8Array;
  /** ChaCha20-Poly1305: `headroom` zero bytes, ciphertext, 16 bytes of tag. The nonce has 12 bytes. */
  seal(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, headroom: number): Uint8Array;
  /** undefined when key, nonce, associated data or ciphertext differ from those it was sealed with. */
  open(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** ristretto255: an element from 64 uniform bytes. */
  element(uniform: Uint8Array): Uint8Array;
  /** ristretto255: a uniform non-zero scalar. */
  scalar(): Uint8Array;
  /** ristretto255; undefined when `element` does not decode or the product is the identity. */
  multiply(scalar: Uint8Array, element: Uint8Array): Uint8Array | undefined;
  /** Constant time. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  wipe(bytes: Uint8Array): void;
}

/** A fresh buffer with all parts one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(new ArrayBuffer(length));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const encoder = new TextEncoder();

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}
