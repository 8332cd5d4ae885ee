// SPDX-License-Identifier: Apache-2.0
// Neighbour advertisements (RFC 4861 section 4.4), with which an IPv6 address is announced.
import { foldChecksum, sumPseudoHeader, sumWords } from "./checksum.ts";
import { ETHERNET_HEADER_BYTES, ETHERTYPE, readEthernetHeader, writeEthernetHeader } from "./ethernet.ts";
import { type Ip, ipBytes, ipFromBytes, parseIp } from "./ip.ts";
import { IPV6_HEADER_BYTES, readIpv6Header, writeIpv6Header } from "./ipv6.ts";
import { type Mac, readMac, writeMac } from "./mac.ts";

export const PROTOCOL_ICMPV6 = 58;

/** Neighbour advertisement with one option, big-endian, RFC 4861 sections 4.4 and 4.6.1.
 *  offset size field
 *       0    1 type       136
 *       1    1 code       0
 *       2    2 checksum   over the pseudo-header and all of this
 *       4    4 flags      0x80000000 router, 0x40000000 solicited, 0x20000000 override; the rest is sent 0
 *       8   16 target address
 *      24    1 option     2: target link-layer address
 *      25    1 its length in units of 8 bytes: 1
 *      26    6 MAC */
export const NEIGHBOUR_ADVERTISEMENT_BYTES = 32;
const TYPE_NEIGHBOUR_ADVERTISEMENT = 136;
const FIXED_BYTES = 24;
const FLAG = { router: 0x8000_0000, solicited: 0x4000_0000, override: 0x2000_0000 } as const;
const OPTION_TARGET_MAC = 0x0201;
const HOP_LIMIT = 255; // receivers drop anything less: it would have crossed a router

const ALL_NODES_IP = parseIp("ff02::1") as Ip; // a constant in canonical form
const ALL_NODES_MAC = 0x3333_0000_0001 as Mac; // RFC 2464 section 7

export interface NeighbourAdvertisement {
  readonly source: Ip;
  readonly destination: Ip;
  readonly target: Ip;
  /** undefined: it carries none. */
  readonly targetMac: Mac | undefined;
  readonly router: boolean;
  readonly solicited: boolean;
  readonly override: boolean;
}

/** The frame that tells every neighbour, unasked, where the IPv6 address `ip` is (RFC 4861 section 7.2.6). */
export function unsolicitedAdvertisement(mac: Mac, ip: Ip): Uint8Array<ArrayBuffer> {
  const length = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + NEIGHBOUR_ADVERTISEMENT_BYTES;
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const frame = new DataView(bytes.buffer);
  const ipAt = writeEthernetHeader(frame, { destination: ALL_NODES_MAC, source: mac, type: ETHERTYPE.ipv6 });
  const at = writeIpv6Header(frame, ipAt, {
    payloadBytes: NEIGHBOUR_ADVERTISEMENT_BYTES,
    nextHeader: PROTOCOL_ICMPV6,
    hopLimit: HOP_LIMIT,
    source: ip,
    destination: ALL_NODES_IP,
  });
  frame.setUint8(at, TYPE_NEIGHBOUR_ADVERTISEMENT);
  frame.setUint32(at + 4, FLAG.override);
  bytes.set(ipBytes(ip), at + 8);
  frame.setUint16(at + FIXED_BYTES, OPTION_TARGET_MAC);
  writeMac(frame, at + FIXED_BYTES + 2, mac);
  frame.setUint16(at + 2, foldChecksum(icmpSum(frame, at, NEIGHBOUR_ADVERTISEMENT_BYTES, ip, ALL_NODES_IP)));
  return bytes;
}

/** undefined: not a neighbour advertisement that a receiver may take (RFC 4861 section 7.1.2), a wrong checksum included. */
export function decodeNeighbourAdvertisement(bytes: Uint8Array): NeighbourAdvertisement | undefined {
  const frame = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (readEthernetHeader(frame)?.type !== ETHERTYPE.ipv6) return undefined;
  const header = readIpv6Header(frame, ETHERNET_HEADER_BYTES);
  const at = ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES;
  if (header?.nextHeader !== PROTOCOL_ICMPV6 || header.hopLimit !== HOP_LIMIT || header.payloadBytes < FIXED_BYTES)
    return undefined;
  if (frame.getUint8(at) !== TYPE_NEIGHBOUR_ADVERTISEMENT || frame.getUint8(at + 1) !== 0) return undefined;
  if (foldChecksum(icmpSum(frame, at, header.payloadBytes, header.source, header.destination)) !== 0) return undefined;
  const flags = frame.getUint32(at + 4);
  return {
    source: header.source,
    destination: header.destination,
    target: ipFromBytes(bytes.subarray(at + 8, at + FIXED_BYTES)),
    targetMac: findTargetMac(frame, at + FIXED_BYTES, at + header.payloadBytes),
    router: flags >= FLAG.router,
    solicited: (flags & FLAG.solicited) !== 0,
    override: (flags & FLAG.override) !== 0,
  };
}

function icmpSum(frame: DataView, at: number, lengthBytes: number, source: Ip, destination: Ip): number {
  return sumWords(
    frame,
    at,
    at + lengthBytes,
    sumPseudoHeader(ipBytes(source), ipBytes(destination), PROTOCOL_ICMPV6, lengthBytes),
  );
}

function findTargetMac(frame: DataView, start: number, end: number): Mac | undefined {
  for (let at = start; at + 8 <= end; ) {
    if (frame.getUint16(at) === OPTION_TARGET_MAC) return readMac(frame, at + 2);
    const units = frame.getUint8(at + 1);
    if (units === 0) return undefined; // RFC 4861 section 4.6: such a packet is dropped, and walking it would not end
    at += units * 8;
  }
  return undefined;
}
