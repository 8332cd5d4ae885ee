// SPDX-License-Identifier: Apache-2.0
// ARP for IPv4 over Ethernet (RFC 826), and announcing an own address with it (RFC 5227 section 3, RFC 5944 section 4.6).
import { BROADCAST_MAC, ETHERNET_HEADER_BYTES, ETHERTYPE, readEthernetHeader, writeEthernetHeader } from "./ethernet.ts";
import { type Ip, ipBytes, ipFromBytes } from "./ip.ts";
import { type Mac, readMac, writeMac } from "./mac.ts";

/** ARP packet, big-endian, RFC 826.
 *  offset size field
 *       0    2 hardware type     1 (Ethernet)
 *       2    2 protocol type     0x0800
 *       4    1 hardware length   6
 *       5    1 protocol length   4
 *       6    2 operation         1 request, 2 reply
 *       8    6 sender MAC
 *      14    4 sender address
 *      18    6 target MAC        0 in a request
 *      24    4 target address */
export const ARP_BYTES = 28;
const FIXED_PART = 0x0001_0800_0604; // the first six bytes
const OPERATION = { request: 1, reply: 2 } as const;

export interface ArpPacket {
  readonly operation: keyof typeof OPERATION;
  readonly senderMac: Mac;
  readonly senderIp: Ip;
  readonly targetMac: Mac;
  readonly targetIp: Ip;
}

/** A whole frame. Both addresses are IPv4. */
export function encodeArpFrame(destination: Mac, arp: ArpPacket): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(ETHERNET_HEADER_BYTES + ARP_BYTES));
  const frame = new DataView(bytes.buffer);
  const at = writeEthernetHeader(frame, { destination, source: arp.senderMac, type: ETHERTYPE.arp });
  writeMac(frame, at, FIXED_PART);
  frame.setUint16(at + 6, OPERATION[arp.operation]);
  writeMac(frame, at + 8, arp.senderMac);
  bytes.set(ipBytes(arp.senderIp), at + 14);
  writeMac(frame, at + 18, arp.targetMac);
  bytes.set(ipBytes(arp.targetIp), at + 24);
  return bytes;
}

/** undefined: not an ARP frame for IPv4 over Ethernet. Padding behind it is ignored. */
export function decodeArpFrame(bytes: Uint8Array): ArpPacket | undefined {
  const frame = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = ETHERNET_HEADER_BYTES;
  if (readEthernetHeader(frame)?.type !== ETHERTYPE.arp || bytes.length < at + ARP_BYTES) return undefined;
  const operation = frame.getUint16(at + 6);
  if (readMac(frame, at) !== FIXED_PART || (operation !== OPERATION.request && operation !== OPERATION.reply)) return undefined;
  return {
    operation: operation === OPERATION.request ? "request" : "reply",
    senderMac: readMac(frame, at + 8),
    senderIp: ipFromBytes(bytes.subarray(at + 14, at + 18)),
    targetMac: readMac(frame, at + 18),
    targetIp: ipFromBytes(bytes.subarray(at + 24, at + 28)),
  };
}

/** The two broadcast frames that tell every neighbour where `ip` is: some update their tables on requests only, some on replies only. */
export function gratuitousArp(mac: Mac, ip: Ip): readonly Uint8Array<ArrayBuffer>[] {
  const own = { senderMac: mac, senderIp: ip, targetIp: ip };
  return [
    encodeArpFrame(BROADCAST_MAC, { operation: "request", ...own, targetMac: 0 as Mac }),
    encodeArpFrame(BROADCAST_MAC, { operation: "reply", ...own, targetMac: BROADCAST_MAC }),
  ];
}
