// SPDX-License-Identifier: Apache-2.0
// Super-packets, and TCP packets too large for the path, as packets that fit: each with whole headers, so that the loss of one costs no other.
// The pieces are made where the original lies: each one's headers are written over the end of the piece before, which must have been sent by then.
// Checksums of TCP and UDP are left to the receiver's kernel.
import { foldChecksum, sumWords } from "../../net/checksum.ts";
import { IPV4_AT, IPV6_AT, type Packet, TCP_AT, TCP_FLAG, UDP_AT, UDP_BYTES } from "./packet.ts";

/** Longest headers: 18 with two tags, IPv4 60, TCP 60; or IPv6 with some options. Longer ones are not cut. */
export const HEADERS_MAX = 256;
/** A piece smaller than this is not worth its headers. */
const PIECE_MIN = 64;
const WHOLE_FLAGS = TCP_FLAG.SYN | TCP_FLAG.RST | TCP_FLAG.URG;
const LAST_FLAGS = TCP_FLAG.FIN | TCP_FLAG.PSH;

/** Payload bytes of each piece of the packet at `at`; 0: it is not to be cut. `segmentBytes` is what the sender wants in each segment, 0 when it
 *  is no super-packet; `roomBytes` what a frame may have. UDP pieces are datagrams of their own, so only the sender says where to cut them, and
 *  they may be larger than the room. */
export function pieceBytes(view: DataView, at: number, packet: Packet, segmentBytes: number, roomBytes: number): number {
  const { isTcp, headerBytes, payloadBytes, transportAt } = packet;
  if (headerBytes > HEADERS_MAX) return 0;
  if (!isTcp) return segmentBytes < payloadBytes ? segmentBytes : 0;
  if ((view.getUint8(at + transportAt + TCP_AT.flags) & WHOLE_FLAGS) !== 0) return 0;
  const fitting = Math.max(PIECE_MIN, roomBytes - headerBytes);
  const piece = segmentBytes > 0 ? Math.min(segmentBytes, fitting) : fitting;
  return piece < payloadBytes ? piece : 0;
}

/** One packet being cut. Used again and again. */
export class Cutter {
  /** The original's headers: the first pieces may overwrite them. */
  readonly #headers = new DataView(new ArrayBuffer(HEADERS_MAX));
  readonly #bytes = new Uint8Array(this.#headers.buffer);
  #packet: Packet | undefined;
  #id = 0;
  #sequence = 0;
  #flags = 0;
  /** Sum of the IPv4 header's words that are the same in all pieces. */
  #constantSum = 0;

  begin(bytes: Uint8Array, at: number, packet: Packet): void {
    const view = this.#headers;
    for (let i = 0; i < packet.headerBytes; i++) this.#bytes[i] = bytes[at + i]!; // the frame has its headers
    this.#packet = packet;
    if (packet.isTcp) {
      this.#sequence = view.getUint32(packet.transportAt + TCP_AT.sequence);
      this.#flags = view.getUint8(packet.transportAt + TCP_AT.flags);
    }
    if (packet.isIpv6) return;
    const ip = packet.ipAt;
    this.#id = view.getUint16(ip + IPV4_AT.id);
    view.setUint16(ip + IPV4_AT.checksum, 0);
    this.#constantSum = sumWords(view, ip, ip + (view.getUint8(ip) & 0x0f) * 4);
    this.#constantSum -= view.getUint16(ip + IPV4_AT.length) + this.#id;
  }

  /** Writes the headers of the piece that begins `offset` payload bytes in: they end where its payload, `bytes` long, begins. `at` is where the
   *  original's frame begins. Where the piece's frame begins. */
  write(view: DataView, bytes: Uint8Array, at: number, offset: number, payload: number, number: number): number {
    const packet = this.#packet;
    if (!packet) return at;
    const { headerBytes, isIpv6, isTcp, ipAt, transportAt, payloadBytes } = packet;
    const start = at + offset;
    const ip = start + ipAt;
    const transport = start + transportAt;
    if (offset > 0) this.#copyHeaders(view, bytes, start, headerBytes);
    const packetBytes = headerBytes - ipAt + payload;
    if (isIpv6) view.setUint16(ip + IPV6_AT.length, packetBytes - 40);
    else {
      const id = (this.#id + number) & 0xffff;
      view.setUint16(ip + IPV4_AT.length, packetBytes);
      view.setUint16(ip + IPV4_AT.id, id);
      view.setUint16(ip + IPV4_AT.checksum, foldChecksum(this.#constantSum + packetBytes + id));
    }
    if (!isTcp) {
      view.setUint16(transport + UDP_AT.length, UDP_BYTES + payload);
      return start;
    }
    let flags = this.#flags;
    if (offset + payload < payloadBytes) flags &= ~LAST_FLAGS;
    if (offset > 0) flags &= ~TCP_FLAG.CWR;
    view.setUint32(transport + TCP_AT.sequence, this.#sequence + offset);
    view.setUint8(transport + TCP_AT.flags, flags);
    return start;
  }

  /** Four bytes at a time; a call to C would take longer for so few. */
  #copyHeaders(view: DataView, bytes: Uint8Array, into: number, length: number): void {
    let i = 0;
    for (; i + 4 <= length; i += 4) view.setUint32(into + i, this.#headers.getUint32(i));
    for (; i < length; i++) bytes[into + i] = this.#bytes[i]!; // below length
  }
}
