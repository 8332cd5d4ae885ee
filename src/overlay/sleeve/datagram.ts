// SPDX-License-Identifier: Apache-2.0
// What travels between two sleeves: UDP datagrams, each a header and records. With a password the records are sealed (AEAD) and the header is
// the associated data; the nonce is four zero bytes and the counter. Without one there is no seal and no tag.
//
//  offset size field (big-endian)
//       0    4 index    chosen by the receiver at random, another for every key
//       4    8 counter  grows with every datagram of a key, never repeats; its highest bit is set in datagrams that are not sealed, so that
//                       neither kind can be taken for the other
//      12    … records
//       …   16 tag      sealed ones only
//
//  record      size field
//  every          1 kind     append-only; one that is not known ends the reading of its datagram unless it has a length
//  frame          1 ttl
//                 3 vni      source | destination << 12
//                 2 length
//                 … an Ethernet frame; TCP and UDP checksums in it cover the pseudo-header at most, the receiver's kernel fills them in
//  fragment       1 ttl
//                 3 vni
//                 2 length   of this piece
//                 2 id       of the frame, counts up
//                 3 offset   of the piece in it, a multiple of 8
//                 3 total    bytes of the frame
//                 … the piece
//  others         2 length   then as many bytes:
//    keep-alive     0
//    mtu probe      2 size    of the whole IP packet it came in; then zeros up to that
//    mtu answer     2 size
//    rekey offer    4 index, 32 X25519 public key: to receive with the next key (host/sleeve-keyring.ts)
//    rekey answer   4 index, 32 X25519 public key
export const HEADER_BYTES = 12;
export const INDEX_AT = 0;
export const COUNTER_AT = 4;
export const TAG_BYTES = 16;
/** In the upper half of the counter. */
export const CLEAR_MODE = 0x8000_0000;
/** Larger counters than any sender can come to; numbers are exact up to there. */
export const COUNTER_HIGH_LIMIT = 2 ** 20;

export const RECORD = {
  frame: 0,
  fragment: 1,
  keepAlive: 2,
  mtuProbe: 3,
  mtuAnswer: 4,
  rekeyOffer: 5,
  rekeyAnswer: 6,
} as const;
export const FRAME_RECORD_BYTES = 7;
export const FRAGMENT_RECORD_BYTES = 15;
/** Kind and length of the other records. */
export const CONTROL_RECORD_BYTES = 3;
export const REKEY_BYTES = 36;
/** Pieces begin at multiples of it. */
export const FRAGMENT_UNIT_BYTES = 8;

/** A whole frame: the largest IP packet, its Ethernet header and one VLAN tag. */
export const FRAME_BYTES_MAX = 65_535 + 18;
/** What an IP packet spends on IP and UDP headers. */
export const IP_UDP_BYTES = { ipv4: 28, ipv6: 48 } as const;

export function writeFrameRecord(view: DataView, at: number, ttlVni: number, length: number): number {
  view.setUint8(at, RECORD.frame);
  view.setUint32(at + 1, ttlVni);
  view.setUint16(at + 5, length);
  return at + FRAME_RECORD_BYTES;
}

export function writeFragmentRecord(
  view: DataView,
  at: number,
  ttlVni: number,
  length: number,
  id: number,
  offset: number,
  total: number,
): number {
  view.setUint8(at, RECORD.fragment);
  view.setUint32(at + 1, ttlVni);
  view.setUint16(at + 5, length);
  view.setUint16(at + 7, id);
  writeUint24(view, at + 9, offset);
  writeUint24(view, at + 12, total);
  return at + FRAGMENT_RECORD_BYTES;
}

export function readUint24(view: DataView, at: number): number {
  return (view.getUint16(at) << 8) | view.getUint8(at + 2);
}
function writeUint24(view: DataView, at: number, value: number): void {
  view.setUint16(at, value >>> 8);
  view.setUint8(at + 2, value);
}
