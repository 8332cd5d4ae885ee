// SPDX-License-Identifier: Apache-2.0
// Hashes that all peers compute alike from the same facts: positions on a ring, digests. They spread, they protect nothing.

/** Spreads 32 bits (the finaliser of MurmurHash3, Appleby, public domain). */
export function mix32(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** 32 bits of two. */
export function mixPair(a: number, b: number): number {
  return mix32(Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ mix32(b));
}

/** Where a peer stands on the ring, 32 bits: the order in which peers watch each other and tree ties are broken. */
export function ringPosition(name: number): number {
  return mixPair(Math.floor(name / 2 ** 32), (name % 2 ** 32) | 0);
}

/** 32 bits of any bytes (FNV-1a with a final mix). */
export function hashBytes(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let h = seed;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return mix32(h);
}

/** 32 bits of a text. */
export function hashText(text: string, seed = 0x811c9dc5): number {
  let h = seed;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix32(h);
}
