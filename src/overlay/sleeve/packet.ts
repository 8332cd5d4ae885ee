// SPDX-License-Identifier: Apache-2.0
// TCP and UDP packets inside Ethernet frames, read where they lie into one object that is used again and again: what cutting, joining and
// finishing checksums need to know. Fragments, and what stands behind headers not named here, are not read: they travel whole.
//
//  Ethernet 14 | up to two VLAN tags | IPv4 with its options, or IPv6 with hop-by-hop and destination options | TCP or UDP | payload
import { foldChecksum, sumWords } from "../../net/checksum.ts";
import { ETHERNET_HEADER_BYTES, ETHERTYPE } from "../../net/ethernet.ts";

const VLAN_TAG_BYTES = 4;
const VLAN_TAGS_MAX = 2;
/** IEEE 802.1ad */
const SERVICE_TAG = 0x88a8;
const IPV4_BYTES = 20;
const IPV4_FRAGMENT = 0x3fff; // more fragments, or an offset
const IPV6_BYTES = 40;
/** IANA: IPv6 hop-by-hop and destination options, which stand before the transport header and do not change what it covers. */
const HOP_BY_HOP = 0;
const DESTINATION = 60;
const EXTENSIONS_MAX = 4;
export const PROTOCOL = { tcp: 6, udp: 17 } as const;
export const UDP_BYTES = 8;
const TCP_BYTES_MIN = 20;

export const TCP_FLAG = { FIN: 0x01, SYN: 0x02, RST: 0x04, PSH: 0x08, ACK: 0x10, URG: 0x20, CWR: 0x80 } as const;
/** Offsets in the transport headers (RFC 9293, RFC 768). */
export const TCP_AT = { sequence: 4, acknowledgement: 8, offset: 12, flags: 13, window: 14, checksum: 16, options: 20 } as const;
export const UDP_AT = { length: 4, checksum: 6 } as const;
/** Offsets in the IP headers (RFC 791, RFC 8200). */
export const IPV4_AT = { length: 2, id: 4, fragment: 6, ttl: 8, protocol: 9, checksum: 10, source: 12, destination: 16 } as const;
export const IPV6_AT = { length: 4, nextHeader: 6, hopLimit: 7, source: 8, destination: 24 } as const;

export class Packet {
  isIpv6 = false;
  isTcp = false;
  /** Of the IP header, from the frame's beginning. */
  ipAt = 0;
  /** Of the TCP or UDP header, from the frame's beginning. */
  transportAt = 0;
  /** Everything before the payload. */
  headerBytes = 0;
  /** Behind the headers; padding of the frame is not counted. */
  payloadBytes = 0;

  /** False: not a TCP or UDP packet of this kind. Never reads outside of the `length` bytes at `at`. */
  read(view: DataView, at: number, length: number): boolean {
    let ipAt = ETHERNET_HEADER_BYTES;
    if (length < ipAt + IPV4_BYTES + UDP_BYTES) return false;
    let type = view.getUint16(at + ipAt - 2);
    for (let tags = 0; type === ETHERTYPE.vlan || type === SERVICE_TAG; tags++) {
      ipAt += VLAN_TAG_BYTES;
      if (tags === VLAN_TAGS_MAX || length < ipAt + IPV4_BYTES + UDP_BYTES) return false;
      type = view.getUint16(at + ipAt - 2);
    }
    this.ipAt = ipAt;
    if (type === ETHERTYPE.ipv4) return this.#readIpv4(view, at, length);
    return type === ETHERTYPE.ipv6 && this.#readIpv6(view, at, length);
  }

  #readIpv4(view: DataView, at: number, length: number): boolean {
    const ip = at + this.ipAt;
    const first = view.getUint8(ip);
    const ipBytes = (first & 0x0f) * 4;
    if (first >>> 4 !== 4 || ipBytes < IPV4_BYTES || (view.getUint16(ip + IPV4_AT.fragment) & IPV4_FRAGMENT) !== 0) return false;
    this.isIpv6 = false;
    return this.#readTransport(
      view,
      at,
      length,
      view.getUint8(ip + IPV4_AT.protocol),
      this.ipAt + ipBytes,
      view.getUint16(ip + IPV4_AT.length),
    );
  }
  #readIpv6(view: DataView, at: number, length: number): boolean {
    const ip = at + this.ipAt;
    if (length < this.ipAt + IPV6_BYTES || view.getUint8(ip) >>> 4 !== 6) return false;
    let next = view.getUint8(ip + IPV6_AT.nextHeader);
    let transportAt = this.ipAt + IPV6_BYTES;
    for (let extensions = 0; next === HOP_BY_HOP || next === DESTINATION; extensions++) {
      if (extensions === EXTENSIONS_MAX || length < transportAt + UDP_BYTES) return false;
      next = view.getUint8(at + transportAt);
      transportAt += (view.getUint8(at + transportAt + 1) + 1) * 8;
    }
    this.isIpv6 = true;
    return this.#readTransport(view, at, length, next, transportAt, IPV6_BYTES + view.getUint16(ip + IPV6_AT.length));
  }
  #readTransport(
    view: DataView,
    at: number,
    length: number,
    protocol: number,
    transportAt: number,
    packetBytes: number,
  ): boolean {
    this.isTcp = protocol === PROTOCOL.tcp;
    let transportBytes = UDP_BYTES;
    if (this.isTcp) {
      if (length < transportAt + TCP_BYTES_MIN) return false;
      transportBytes = (view.getUint8(at + transportAt + TCP_AT.offset) >>> 4) * 4;
      if (transportBytes < TCP_BYTES_MIN) return false;
    } else if (protocol !== PROTOCOL.udp) return false;
    const end = this.ipAt + packetBytes;
    this.transportAt = transportAt;
    this.headerBytes = transportAt + transportBytes;
    this.payloadBytes = end - this.headerBytes;
    return this.payloadBytes >= 0 && end <= length;
  }
}

/** Where the checksum stands in the transport header. */
export function checksumOffset(isTcp: boolean): number {
  return isTcp ? TCP_AT.checksum : UDP_AT.checksum;
}

/** Folded sum of the pseudo-header of the packet whose IP header is at `ip`, not inverted: what a checksum begins with that somebody else
 *  completes. `transportBytes` are header and payload. */
export function pseudoHeaderSum(view: DataView, ip: number, isIpv6: boolean, isTcp: boolean, transportBytes: number): number {
  const addresses = isIpv6
    ? sumWords(view, ip + IPV6_AT.source, ip + IPV6_BYTES)
    : sumWords(view, ip + IPV4_AT.source, ip + IPV4_BYTES);
  const protocol = isTcp ? PROTOCOL.tcp : PROTOCOL.udp;
  return foldChecksum(addresses + protocol + (transportBytes >>> 16) + (transportBytes & 0xffff)) ^ 0xffff;
}

/** Sets the length of the IP header at `ip` and, for IPv4, its checksum. `packetBytes` is the whole IP packet. */
export function setIpLength(view: DataView, ip: number, isIpv6: boolean, packetBytes: number): void {
  if (isIpv6) {
    view.setUint16(ip + IPV6_AT.length, packetBytes - IPV6_BYTES);
    return;
  }
  view.setUint16(ip + IPV4_AT.length, packetBytes);
  view.setUint16(ip + IPV4_AT.checksum, 0);
  view.setUint16(ip + IPV4_AT.checksum, foldChecksum(sumWords(view, ip, ip + (view.getUint8(ip) & 0x0f) * 4)));
}
