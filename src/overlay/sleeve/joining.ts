// SPDX-License-Identifier: Apache-2.0
// Consecutive segments of one TCP connection as one super-packet, as the kernel's own receive offload makes them (net/ipv4/tcp_offload.c): same
// headers but for length, identification and sequence; only acknowledgements with data; all of one size, the last may be shorter.
import { type Packet, TCP_FLAG } from "./packet.ts";

const LARGEST_PACKET = 65_535;
const PLAIN_FLAGS = TCP_FLAG.ACK | TCP_FLAG.PSH;

/** Whether a packet may begin or extend a super-packet. */
export function isJoinable(view: DataView, at: number, packet: Packet): boolean {
  if (!packet.isTcp || packet.payloadBytes === 0) return false;
  const flags = view.getUint8(at + packet.transportAt + 13);
  return (flags & TCP_FLAG.ACK) !== 0 && (flags & ~PLAIN_FLAGS) === 0;
}

/** The super-packet being built. `at` is where its frame's Ethernet header would stand if the IP header follows 14 bytes later. */
export class Joined {
  at = -1;
  isIpv6 = false;
  transportAt = 0;
  headerBytes = 0;
  payloadBytes = 0;
  /** Payload of its first segment. */
  segmentBytes = 0;
  #isClosed = false;

  get isOpen(): boolean {
    return this.at >= 0;
  }
  begin(view: DataView, at: number, packet: Packet): void {
    this.at = at;
    this.isIpv6 = packet.isIpv6;
    this.transportAt = packet.transportAt;
    this.headerBytes = packet.headerBytes;
    this.payloadBytes = packet.payloadBytes;
    this.segmentBytes = packet.payloadBytes;
    this.#isClosed = (view.getUint8(at + packet.transportAt + 13) & TCP_FLAG.PSH) !== 0;
  }
  end(): void {
    this.at = -1;
  }

  /** Whether the packet at `otherAt` of `other` continues it. */
  continues(view: DataView, other: DataView, otherAt: number, packet: Packet): boolean {
    const { at, transportAt } = this;
    if (this.#isClosed || packet.isIpv6 !== this.isIpv6 || packet.headerBytes !== this.headerBytes) return false;
    if (packet.payloadBytes > this.segmentBytes) return false;
    if (this.headerBytes - 14 + this.payloadBytes + packet.payloadBytes > LARGEST_PACKET) return false;
    const expected = (view.getUint32(at + transportAt + 4) + this.payloadBytes) >>> 0;
    if (other.getUint32(otherAt + transportAt + 4) !== expected) return false;
    return this.isIpv6 ? this.#sameIpv6(view, other, otherAt) : this.#sameIpv4(view, other, otherAt);
  }

  /** Its payload was put behind ours. */
  extend(view: DataView, other: DataView, otherAt: number, packet: Packet): void {
    this.payloadBytes += packet.payloadBytes;
    const flags = other.getUint8(otherAt + packet.transportAt + 13);
    if ((flags & TCP_FLAG.PSH) !== 0) {
      const own = this.at + this.transportAt + 13;
      view.setUint8(own, view.getUint8(own) | TCP_FLAG.PSH);
    }
    if (packet.payloadBytes < this.segmentBytes || (flags & TCP_FLAG.PSH) !== 0) this.#isClosed = true;
  }

  #sameIpv4(view: DataView, other: DataView, otherAt: number): boolean {
    const { at } = this;
    return (
      view.getUint16(at + 14) === other.getUint16(otherAt + 14) && // version, type of service
      view.getUint16(at + 20) === other.getUint16(otherAt + 20) && // don't fragment
      view.getUint8(at + 22) === other.getUint8(otherAt + 22) && // time to live
      view.getUint32(at + 26) === other.getUint32(otherAt + 26) &&
      view.getUint32(at + 30) === other.getUint32(otherAt + 30) &&
      this.#sameTransport(view, other, otherAt)
    );
  }
  #sameIpv6(view: DataView, other: DataView, otherAt: number): boolean {
    const { at } = this;
    if (view.getUint32(at + 14) !== other.getUint32(otherAt + 14)) return false; // traffic class, flow
    if (view.getUint8(at + 21) !== other.getUint8(otherAt + 21)) return false; // hop limit
    for (let i = 22; i < 54; i += 4) if (view.getUint32(at + i) !== other.getUint32(otherAt + i)) return false;
    return this.#sameTransport(view, other, otherAt);
  }
  /** Ports, acknowledgement, window and options; and the MACs. */
  #sameTransport(view: DataView, other: DataView, otherAt: number): boolean {
    const [mine, theirs] = [this.at + this.transportAt, otherAt + this.transportAt];
    if (view.getUint32(mine) !== other.getUint32(theirs) || view.getUint32(mine + 8) !== other.getUint32(theirs + 8))
      return false;
    if (view.getUint16(mine + 14) !== other.getUint16(theirs + 14)) return false;
    for (let i = 20; i < this.headerBytes - this.transportAt; i += 4) {
      if (view.getUint32(mine + i) !== other.getUint32(theirs + i)) return false;
    }
    return true;
  }
}
