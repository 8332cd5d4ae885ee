// SPDX-License-Identifier: Apache-2.0
// Addresses as the allocator counts them: IPv4 as integers below 2^32, ranges half open. Text exists at the boundary only.
import type { Cidr } from "../net/cidr.ts";
import { networkOf } from "../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";

/** Addresses from `start` up to, not including, `end`; 0 <= start <= end <= 2^32. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export function sizeOf(range: Range): number {
  return range.end - range.start;
}

export function includes(range: Range, address: number): boolean {
  return address >= range.start && address < range.end;
}

/** False when either is missing. */
export function sameRange(a: Range | undefined, b: Range | undefined): boolean {
  return a !== undefined && a.start === b?.start && a.end === b.end;
}

/** The part both have; empty (start = end) when there is none. */
export function intersect(a: Range, b: Range): Range {
  const start = Math.max(a.start, b.start);
  return { start, end: Math.max(start, Math.min(a.end, b.end)) };
}

/** An IPv4 address as a number. */
export function toNumber(ip: Ip): number {
  return ipBytes(ip).reduce((sum, byte) => sum * 256 + byte, 0);
}

export function toIp(address: number): Ip {
  return ipFromBytes(Uint8Array.of(address >>> 24, (address >>> 16) & 0xff, (address >>> 8) & 0xff, address & 0xff));
}

/** All addresses of an IPv4 subnet, its ends included. */
export function rangeOf(subnet: Cidr): Range {
  const start = toNumber(networkOf(subnet));
  return { start, end: start + 2 ** (32 - subnet.prefixLength) };
}

/** What may be given to interfaces: neither the subnet's own address nor its broadcast address. */
export function usableRange(subnet: Cidr): Range {
  const all = rangeOf(subnet);
  return sizeOf(all) < 4 ? all : { start: all.start + 1, end: all.end - 1 };
}
