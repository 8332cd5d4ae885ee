// SPDX-License-Identifier: Apache-2.0
// Packets written by hand, right and wrong ones. Nothing here is shared with the code under test.
import { ipBytes, parseIp } from "../../../src/net/ip.ts";
import { macBytes } from "../../support/frames.ts";

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, experiment: 0x88b5 } as const;
export const PROTOCOL = { icmp: 1, igmp: 2, tcp: 6, udp: 17, fragment: 44, hopByHop: 0, icmpv6: 58, destination: 60 } as const;

export function bytes(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
export function u16(...values: readonly number[]): number[] {
  return values.flatMap((value) => [(value >> 8) & 0xff, value & 0xff]);
}
export function u32(value: number): number[] {
  return u16(value >>> 16, value & 0xffff);
}
function address(text: string): Uint8Array {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`not an address: ${text}`);
  return ipBytes(ip);
}
/** The Internet checksum (RFC 1071); 0 over data that has a right one in it. */
export function checksum(data: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Padded to the 60 bytes of the shortest frame. */
export function ethernet(destination: string, source: string, ethertype: number, payload: Uint8Array): Uint8Array {
  const frame = bytes(macBytes(destination), macBytes(source), u16(ethertype), payload);
  return frame.length >= 60 ? frame : bytes(frame, new Uint8Array(60 - frame.length));
}
export function vlan(id: number, ethertype: number, payload: Uint8Array): Uint8Array {
  return bytes(u16(id, ethertype), payload);
}
export function ipv4(from: string, to: string, protocol: number, payload: Uint8Array, fragment = 0): Uint8Array {
  const header = bytes([0x45, 0], u16(20 + payload.length, 1, fragment), [64, protocol], u16(0), address(from), address(to));
  const sum = checksum(header);
  header.set(u16(sum), 10);
  return bytes(header, payload);
}
export function ipv6(from: string, to: string, next: number, payload: Uint8Array): Uint8Array {
  return bytes([0x60, 0, 0, 0], u16(payload.length), [next, 255], address(from), address(to), payload);
}
/** Without checksum, which nobody on the way looks at. */
export function udp(from: number, to: number, payload: Uint8Array = new Uint8Array(24)): Uint8Array {
  return bytes(u16(from, to, 8 + payload.length, 0), payload);
}
/** `options` are filled up with zeros to whole words. The checksum is made by `withChecksum`. */
export function tcp(
  from: number,
  to: number,
  flags: number,
  options: readonly number[] = [],
  payload = new Uint8Array(),
): Uint8Array {
  const padded = bytes(options, new Uint8Array(-options.length & 3));
  const head = [...u16(from, to), ...u32(1), ...u32(0), ((20 + padded.length) / 4) << 4, flags, ...u16(0xffff, 0, 0)];
  return bytes(head, padded, payload);
}
/** The sum that TCP's and UDP's checksums begin with. */
export function pseudoHeader(from: string, to: string, protocol: number, length: number): Uint8Array {
  return bytes(address(from), address(to), u32(length), u32(protocol)); // IPv4's has the same sum, whatever the widths
}
/** A TCP segment with its checksum. */
export function withChecksum(from: string, to: string, segment: Uint8Array): Uint8Array {
  const whole = segment.slice();
  whole.set(u16(checksum(bytes(pseudoHeader(from, to, PROTOCOL.tcp, segment.length), segment))), 16);
  return whole;
}
export function arp(operation: 1 | 2, senderMac: string, sender: string, target: string): Uint8Array {
  return bytes(u16(1, 0x0800), [6, 4], u16(operation), macBytes(senderMac), address(sender), new Uint8Array(6), address(target));
}
export function icmpv6(type: number, target?: string): Uint8Array {
  return bytes([type, 0, 0, 0, 0, 0, 0, 0], target === undefined ? [] : address(target));
}
/** An IPv6 extension header of 8 bytes. */
export function extension(next: number): Uint8Array {
  return bytes([next, 0, 1, 4, 0, 0, 0, 0]);
}
export function fragmentHeader(next: number, offset: number, more: boolean): Uint8Array {
  return bytes([next, 0], u16((offset << 3) | (more ? 1 : 0)), u32(7));
}
export function vxlan(source: number, destination: number, frame: Uint8Array): Uint8Array {
  return bytes([0x08, 0, 0, 0], u32(((source | (destination << 12)) << 8) >>> 0), frame);
}
