// SPDX-License-Identifier: Apache-2.0
// TCP and UDP packets inside Ethernet frames, read where they lie into one object that is used again and again: what cutting, joining and
// finishing checksums need to know. VLAN-tagged frames, fragments, IP options and extension headers are not read: they travel whole.
//
//  offsets from the frame's beginning: Ethernet 0, IP 14, TCP or UDP 34 (IPv4) or 54 (IPv6)
import { foldChecksum, sumWords } from "../../net/checksum.ts";
import { ETHERNET_HEADER_BYTES as ETHERNET, ETHERTYPE } from "../../net/ethernet.ts";

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const IPV4_PLAIN = 0x45; // version 4, no options
const IPV4_FRAGMENT = 0x3fff; // more fragments, or an offset
export const PROTOCOL = { tcp: 6, udp: 17 } as const;
const UDP_BYTES = 8;
const TCP_BYTES_MIN = 20;

export const TCP_FLAG = { FIN: 0x01, SYN: 0x02, RST: 0x04, PSH: 0x08, ACK: 0x10, URG: 0x20, CWR: 0x80 } as const;

export class Packet {
  isIpv6 = false;
  isTcp = false;
  /** Of the TCP or UDP header, from the frame's beginning. */
  transportAt = 0;
  /** Ethernet, IP and TCP or UDP headers together. */
  headerBytes = 0;
  /** Behind the headers; padding of the frame is not counted. */
  payloadBytes = 0;

  /** False: not a TCP or UDP packet of the plain kind. Never reads outside of the `length` bytes at `at`. */
  read(view: DataView, at: number, length: number): boolean {
    if (length < ETHERNET + IPV4_BYTES + UDP_BYTES) return false;
    const type = view.getUint16(at + 12);
    let protocol: number;
    let packetBytes: number;
    if (type === ETHERTYPE.ipv4) {
      if (view.getUint8(at + ETHERNET) !== IPV4_PLAIN || (view.getUint16(at + 20) & IPV4_FRAGMENT) !== 0) return false;
      protocol = view.getUint8(at + 23);
      packetBytes = view.getUint16(at + 16);
      this.isIpv6 = false;
      this.transportAt = ETHERNET + IPV4_BYTES;
    } else if (type === ETHERTYPE.ipv6 && length >= ETHERNET + IPV6_BYTES + UDP_BYTES) {
      protocol = view.getUint8(at + 20);
      packetBytes = IPV6_BYTES + view.getUint16(at + 18);
      this.isIpv6 = true;
      this.transportAt = ETHERNET + IPV6_BYTES;
    } else return false;
    this.isTcp = protocol === PROTOCOL.tcp;
    if (!this.isTcp && protocol !== PROTOCOL.udp) return false;
    let transportBytes = UDP_BYTES;
    if (this.isTcp) {
      if (length < this.transportAt + TCP_BYTES_MIN) return false;
      transportBytes = (view.getUint8(at + this.transportAt + 12) >>> 4) * 4;
      if (transportBytes < TCP_BYTES_MIN) return false;
    }
    this.headerBytes = this.transportAt + transportBytes;
    this.payloadBytes = ETHERNET + packetBytes - this.headerBytes;
    return this.payloadBytes >= 0 && ETHERNET + packetBytes <= length;
  }
}

/** Where the checksum stands in the transport header. */
export function checksumOffset(isTcp: boolean): number {
  return isTcp ? 16 : 6;
}

/** Folded sum of the pseudo-header of the packet at `at`, not inverted: what a checksum begins with that somebody else completes.
 *  `transportBytes` are header and payload. */
export function pseudoHeaderSum(view: DataView, at: number, isIpv6: boolean, isTcp: boolean, transportBytes: number): number {
  const addresses = isIpv6
    ? sumWords(view, at + ETHERNET + 8, at + ETHERNET + 40)
    : sumWords(view, at + ETHERNET + 12, at + ETHERNET + 20);
  const protocol = isTcp ? PROTOCOL.tcp : PROTOCOL.udp;
  return foldChecksum(addresses + protocol + (transportBytes >>> 16) + (transportBytes & 0xffff)) ^ 0xffff;
}

/** Sets the lengths of the IP header at `at` (frame's beginning) and, for IPv4, its checksum. `packetBytes` is the whole IP packet. */
export function setIpLength(view: DataView, at: number, isIpv6: boolean, packetBytes: number): void {
  if (isIpv6) {
    view.setUint16(at + 18, packetBytes - IPV6_BYTES);
    return;
  }
  view.setUint16(at + 16, packetBytes);
  view.setUint16(at + 24, 0);
  view.setUint16(at + 24, foldChecksum(sumWords(view, at + ETHERNET, at + ETHERNET + IPV4_BYTES)));
}
