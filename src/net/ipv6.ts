// SPDX-License-Identifier: Apache-2.0
// The IPv6 header (RFC 8200 section 3).
import { type Ip, ipBytes, ipFromBytes } from "./ip.ts";

/** IPv6 header, big-endian, RFC 8200 section 3.
 *  offset size field
 *       0    4 version (4 bits: 6), traffic class (8), flow label (20)
 *       4    2 payload length
 *       6    1 next header
 *       7    1 hop limit
 *       8   16 source
 *      24   16 destination */
export const IPV6_HEADER_BYTES = 40;

export interface Ipv6Header {
  readonly payloadBytes: number;
  /** IANA protocol number: 6 TCP, 17 UDP, 58 ICMPv6, … */
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly source: Ip;
  readonly destination: Ip;
}

/** Writes the header and returns where its payload begins. Traffic class and flow label are 0. */
export function writeIpv6Header(packet: DataView, at: number, header: Ipv6Header): number {
  packet.setUint32(at, 6 * 2 ** 28);
  packet.setUint16(at + 4, header.payloadBytes);
  packet.setUint8(at + 6, header.nextHeader);
  packet.setUint8(at + 7, header.hopLimit);
  const bytes = new Uint8Array(packet.buffer, packet.byteOffset);
  bytes.set(ipBytes(header.source), at + 8);
  bytes.set(ipBytes(header.destination), at + 24);
  return at + IPV6_HEADER_BYTES;
}

/** undefined: not IPv6, or shorter than it says. */
export function readIpv6Header(packet: DataView, at: number): Ipv6Header | undefined {
  if (packet.byteLength - at < IPV6_HEADER_BYTES || packet.getUint8(at) >> 4 !== 6) return undefined;
  const payloadBytes = packet.getUint16(at + 4);
  if (packet.byteLength - at - IPV6_HEADER_BYTES < payloadBytes) return undefined;
  const bytes = new Uint8Array(packet.buffer, packet.byteOffset + at, IPV6_HEADER_BYTES);
  return {
    payloadBytes,
    nextHeader: packet.getUint8(at + 6),
    hopLimit: packet.getUint8(at + 7),
    source: ipFromBytes(bytes.subarray(8, 24)),
    destination: ipFromBytes(bytes.subarray(24, 40)),
  };
}
