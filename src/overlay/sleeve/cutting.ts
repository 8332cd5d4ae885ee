// SPDX-License-Identifier: Apache-2.0
// Super-packets, and TCP packets too large for the path, as packets that fit: each with whole headers, so that the loss of one costs no other.
// Headers are copied from the original and changed; checksums of TCP and UDP are left to the receiver's kernel.
import { type Packet, setIpLength, TCP_FLAG } from "./packet.ts";

/** Payload bytes of each piece: the sender's own segment size, or what is left of `roomBytes` (a whole frame) behind the headers. 0: no room. */
export function pieceBytes(packet: Packet, segmentBytes: number, roomBytes: number): number {
  const fitting = roomBytes - packet.headerBytes;
  if (fitting <= 0) return 0;
  return segmentBytes > 0 ? Math.min(segmentBytes, fitting) : fitting;
}

/** UDP pieces are datagrams of their own: only whole segments of the sender's may be cut. */
export function mayCut(packet: Packet, segmentBytes: number, roomBytes: number): boolean {
  return packet.isTcp || (segmentBytes > 0 && packet.headerBytes + segmentBytes <= roomBytes);
}

/** Turns the original's headers, which stand at `at` in `view`, into those of the piece that begins `offset` payload bytes in. */
export function writePieceHeaders(
  view: DataView,
  at: number,
  packet: Packet,
  offset: number,
  bytes: number,
  number: number,
): void {
  const { isIpv6, isTcp, transportAt, headerBytes, payloadBytes } = packet;
  if (!isIpv6) view.setUint16(at + 18, view.getUint16(at + 18) + number); // identification
  setIpLength(view, at, isIpv6, headerBytes - 14 + bytes);
  const transport = at + transportAt;
  if (!isTcp) {
    view.setUint16(transport + 4, 8 + bytes);
    return;
  }
  view.setUint32(transport + 4, view.getUint32(transport + 4) + offset); // sequence
  let flags = view.getUint8(transport + 13);
  if (offset + bytes < payloadBytes) flags &= ~(TCP_FLAG.FIN | TCP_FLAG.PSH);
  if (offset > 0) flags &= ~TCP_FLAG.CWR;
  view.setUint8(transport + 13, flags);
}
