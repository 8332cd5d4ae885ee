// SPDX-License-Identifier: Apache-2.0
// Ethernet frames (IEEE 802.3), without check sequence.
import { MAC_BYTES, type Mac, readMac, writeMac } from "./mac.ts";

/** Ethernet header, big-endian, IEEE 802.3 clause 3.
 *  offset size field
 *       0    6 destination
 *       6    6 source
 *      12    2 type         above 0x5ff; below: a length (802.2), which we never send */
export const ETHERNET_HEADER_BYTES = 14;
const TYPE_AT = 12;

/** IEEE 802 numbers, as IANA lists them. */
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
export const BROADCAST_MAC = 0xffff_ffff_ffff as Mac;

export interface EthernetHeader {
  readonly destination: Mac;
  readonly source: Mac;
  readonly type: number;
}

/** Writes the header and returns where the payload begins. */
export function writeEthernetHeader(frame: DataView, header: EthernetHeader): number {
  writeMac(frame, 0, header.destination);
  writeMac(frame, MAC_BYTES, header.source);
  frame.setUint16(TYPE_AT, header.type);
  return ETHERNET_HEADER_BYTES;
}

/** undefined: too short for a frame. */
export function readEthernetHeader(frame: DataView): EthernetHeader | undefined {
  if (frame.byteLength < ETHERNET_HEADER_BYTES) return undefined;
  return { destination: readMac(frame, 0), source: readMac(frame, MAC_BYTES), type: frame.getUint16(TYPE_AT) };
}
