// SPDX-License-Identifier: Apache-2.0
// The prime-order group ristretto255 (RFC 9496). Elements and scalars are 32 bytes, little-endian.
import { allocate, type Bytes } from "../ffi.ts";
import { requireLength } from "./memory.ts";
import { sodium } from "./symbols.ts";

export const RISTRETTO_BYTES = 32;
export const RISTRETTO_HASH_BYTES = 64;

/** The element derivation function: 64 uniform bytes to an element nobody knows the logarithm of. */
export function elementFromHash(uniform: Uint8Array): Bytes {
  requireLength(uniform, RISTRETTO_HASH_BYTES, "the hash for an element");
  const element = allocate(RISTRETTO_BYTES);
  sodium().crypto_core_ristretto255_from_hash(element, uniform);
  return element;
}

/** Uniform in 1 .. group order - 1. */
export function randomScalar(): Bytes {
  const scalar = allocate(RISTRETTO_BYTES);
  sodium().crypto_core_ristretto255_scalar_random(scalar);
  return scalar;
}

/** Whether the bytes are the canonical encoding of an element; the identity is one. */
export function isElement(bytes: Uint8Array): boolean {
  return bytes.length === RISTRETTO_BYTES && sodium().crypto_core_ristretto255_is_valid_point(bytes) === 1;
}

/** undefined: `element` is not one, or the result is the identity. */
export function multiply(scalar: Uint8Array, element: Uint8Array): Bytes | undefined {
  requireLength(scalar, RISTRETTO_BYTES, "a ristretto255 scalar");
  if (!isElement(element)) return undefined;
  const product = allocate(RISTRETTO_BYTES);
  return sodium().crypto_scalarmult_ristretto255(product, scalar, element) === 0 ? product : undefined;
}
