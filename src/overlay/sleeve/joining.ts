// SPDX-License-Identifier: Apache-2.0
// Consecutive segments of one TCP connection, or datagrams of one UDP flow, as one super-packet, as the kernel's own receive offload makes them
// (net/ipv4/tcp_offload.c, udp_offload.c): same headers but for length, identification and sequence; of TCP only acknowledgements with data;
// all of one size, the last may be shorter.
import { IPV4_AT, IPV6_AT, type Packet, TCP_AT, TCP_FLAG, UDP_AT, UDP_BYTES } from "./packet.ts";

const LARGEST_PACKET = 65_535;
const PLAIN_FLAGS = TCP_FLAG.ACK | TCP_FLAG.PSH;
const ETHERNET = 14;
const IPV4_TRANSPORT = 34;
const IPV6_TRANSPORT = 54;
const DONT_FRAGMENT = 0x4000;
/** linux/udp.h, UDP_MAX_SEGMENTS before 6.10 */
const UDP_SEGMENTS_MAX = 64;
const MACS_BYTES = 12;

/** Whether a packet may begin or extend a super-packet: no VLAN tag, no IP options. */
export function isJoinable(view: DataView, at: number, packet: Packet): boolean {
  if (packet.payloadBytes === 0 || packet.transportAt !== (packet.isIpv6 ? IPV6_TRANSPORT : IPV4_TRANSPORT)) return false;
  if (!packet.isTcp) return view.getUint16(at + packet.transportAt + UDP_AT.checksum) !== 0;
  const flags = view.getUint8(at + packet.transportAt + TCP_AT.flags);
  return (flags & TCP_FLAG.ACK) !== 0 && (flags & ~PLAIN_FLAGS) === 0;
}

/** The super-packet being built. */
export class Joined {
  /** Where its frame begins, the MACs apart: those stand `macGap` bytes before. */
  at = -1;
  isIpv6 = false;
  isTcp = false;
  readonly ipAt = ETHERNET;
  transportAt = 0;
  headerBytes = 0;
  payloadBytes = 0;
  /** Payload of its first segment. */
  segmentBytes = 0;
  segments = 0;
  readonly #macGap: number;
  #isClosed = false;

  constructor(macGap: number) {
    this.#macGap = macGap;
  }
  get isOpen(): boolean {
    return this.at >= 0;
  }
  begin(view: DataView, at: number, packet: Packet): void {
    this.at = at;
    this.isIpv6 = packet.isIpv6;
    this.isTcp = packet.isTcp;
    this.transportAt = packet.transportAt;
    this.headerBytes = packet.headerBytes;
    this.payloadBytes = packet.payloadBytes;
    this.segmentBytes = packet.payloadBytes;
    this.segments = 1;
    this.#isClosed = packet.isTcp && (view.getUint8(at + packet.transportAt + TCP_AT.flags) & TCP_FLAG.PSH) !== 0;
  }
  end(): void {
    this.at = -1;
  }

  /** Whether the packet at `otherAt` of `other` continues it. */
  continues(view: DataView, other: DataView, otherAt: number, packet: Packet): boolean {
    if (this.#isClosed || packet.isIpv6 !== this.isIpv6 || packet.isTcp !== this.isTcp) return false;
    if (packet.headerBytes !== this.headerBytes || packet.payloadBytes > this.segmentBytes) return false;
    if (this.headerBytes - ETHERNET + this.payloadBytes + packet.payloadBytes > LARGEST_PACKET) return false;
    if (!(this.isTcp ? this.#sameTcp(view, other, otherAt) : this.#sameUdp(view, other, otherAt))) return false;
    return (
      (this.isIpv6 ? this.#sameIpv6(view, other, otherAt) : this.#sameIpv4(view, other, otherAt)) &&
      this.#sameMacs(view, other, otherAt)
    );
  }

  /** Its payload was put behind ours. */
  extend(view: DataView, other: DataView, otherAt: number, packet: Packet): void {
    this.payloadBytes += packet.payloadBytes;
    this.segments++;
    if (packet.payloadBytes < this.segmentBytes) this.#isClosed = true;
    if (!this.isTcp) return;
    if ((other.getUint8(otherAt + packet.transportAt + TCP_AT.flags) & TCP_FLAG.PSH) === 0) return;
    const own = this.at + this.transportAt + TCP_AT.flags;
    view.setUint8(own, view.getUint8(own) | TCP_FLAG.PSH);
    this.#isClosed = true;
  }

  #sameIpv4(view: DataView, other: DataView, otherAt: number): boolean {
    const mine = this.at + ETHERNET;
    const theirs = otherAt + ETHERNET;
    const fragment = view.getUint16(mine + IPV4_AT.fragment);
    if (fragment !== other.getUint16(theirs + IPV4_AT.fragment)) return false;
    // Where fragments can come of it, the kernel must count on as the sender did.
    if ((fragment & DONT_FRAGMENT) === 0) {
      const expected = (view.getUint16(mine + IPV4_AT.id) + this.segments) & 0xffff;
      if (other.getUint16(theirs + IPV4_AT.id) !== expected) return false;
    }
    return (
      view.getUint16(mine) === other.getUint16(theirs) && // version, type of service
      view.getUint8(mine + IPV4_AT.ttl) === other.getUint8(theirs + IPV4_AT.ttl) &&
      view.getUint32(mine + IPV4_AT.source) === other.getUint32(theirs + IPV4_AT.source) &&
      view.getUint32(mine + IPV4_AT.destination) === other.getUint32(theirs + IPV4_AT.destination)
    );
  }
  #sameIpv6(view: DataView, other: DataView, otherAt: number): boolean {
    const mine = this.at + ETHERNET;
    const theirs = otherAt + ETHERNET;
    if (view.getUint32(mine) !== other.getUint32(theirs)) return false; // traffic class, flow
    if (view.getUint8(mine + IPV6_AT.hopLimit) !== other.getUint8(theirs + IPV6_AT.hopLimit)) return false;
    for (let i: number = IPV6_AT.source; i < 40; i += 4) {
      if (view.getUint32(mine + i) !== other.getUint32(theirs + i)) return false;
    }
    return true;
  }
  /** Sequence, ports, acknowledgement, flags but PSH, window and options. */
  #sameTcp(view: DataView, other: DataView, otherAt: number): boolean {
    const mine = this.at + this.transportAt;
    const theirs = otherAt + this.transportAt;
    const expected = (view.getUint32(mine + TCP_AT.sequence) + this.payloadBytes) >>> 0;
    if (other.getUint32(theirs + TCP_AT.sequence) !== expected) return false;
    if (view.getUint32(mine) !== other.getUint32(theirs)) return false;
    if (view.getUint32(mine + TCP_AT.acknowledgement) !== other.getUint32(theirs + TCP_AT.acknowledgement)) return false;
    if (view.getUint8(mine + TCP_AT.offset) !== other.getUint8(theirs + TCP_AT.offset)) return false;
    if (view.getUint16(mine + TCP_AT.window) !== other.getUint16(theirs + TCP_AT.window)) return false;
    for (let i: number = TCP_AT.options; i < this.headerBytes - this.transportAt; i += 4) {
      if (view.getUint32(mine + i) !== other.getUint32(theirs + i)) return false;
    }
    return true;
  }
  #sameUdp(view: DataView, other: DataView, otherAt: number): boolean {
    const mine = this.at + this.transportAt;
    const theirs = otherAt + this.transportAt;
    return (
      this.segments < UDP_SEGMENTS_MAX &&
      view.getUint32(mine) === other.getUint32(theirs) &&
      this.headerBytes - this.transportAt === UDP_BYTES
    );
  }
  #sameMacs(view: DataView, other: DataView, otherAt: number): boolean {
    const mine = this.at - this.#macGap;
    for (let i = 0; i < MACS_BYTES; i += 4) if (view.getUint32(mine + i) !== other.getUint32(otherAt + i)) return false;
    return true;
  }
}
