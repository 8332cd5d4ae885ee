// SPDX-License-Identifier: Apache-2.0
// The Internet checksum (RFC 1071): one's complement of the one's complement sum of 16-bit words.

/** Sum of the bytes [start, end) as big-endian words, an odd last byte padded with zero. Not folded; `before` continues an earlier sum whose
 *  length was even. */
export function sumWords(packet: DataView, start: number, end: number, before = 0): number {
  let sum = before;
  let at = start;
  for (; at + 1 < end; at += 2) sum += packet.getUint16(at);
  return at < end ? sum + packet.getUint8(at) * 256 : sum;
}

/** The 16 bits that go into the header. Of data that already holds a right checksum it is 0. */
export function foldChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded ^ 0xffff;
}

/** Sum of the pseudo-header TCP, UDP and ICMPv6 count in: addresses, protocol, length (RFC 9293 section 3.1, RFC 8200 section 8.1).
 *  Both addresses have 4 or both 16 bytes. */
export function sumPseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, lengthBytes: number): number {
  const words = (bytes: Uint8Array): number => sumWords(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length);
  return words(source) + words(destination) + protocol + (lengthBytes >>> 16) + (lengthBytes & 0xffff);
}
