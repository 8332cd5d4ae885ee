// SPDX-License-Identifier: Apache-2.0
// An address with its prefix length, as an interface carries it, and the network it lies in.
import { type Ip, ipBytes, ipFromBytes, isIpv6, parseIp } from "./ip.ts";

export interface Cidr {
  readonly address: Ip;
  /** 0..32 or 0..128 */
  readonly prefixLength: number;
}

/** Reads `address/length`, host bits allowed; undefined when the text is anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(text.slice(0, Math.max(0, slash)));
  const length = text.slice(slash + 1);
  if (slash < 0 || address === undefined || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const prefixLength = Number(length);
  return prefixLength <= (isIpv6(address) ? 128 : 32) ? { address, prefixLength } : undefined;
}

export function formatCidr(cidr: Cidr): string {
  return `${cidr.address}/${cidr.prefixLength}`;
}

/** The network's own address: all host bits zero. */
export function networkOf(cidr: Cidr): Ip {
  return ipFromBytes(masked(cidr.address, cidr.prefixLength));
}

export function hasHostBits(cidr: Cidr): boolean {
  return networkOf(cidr) !== cidr.address;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (isIpv6(cidr.address) !== isIpv6(ip)) return false;
  return networkOf({ address: ip, prefixLength: cidr.prefixLength }) === networkOf(cidr);
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  const wider = a.prefixLength <= b.prefixLength ? a : b;
  return cidrContains(wider, wider === a ? b.address : a.address);
}

function masked(ip: Ip, prefixLength: number): Uint8Array {
  const bytes = ipBytes(ip);
  for (let i = 0; i < bytes.length; i++) {
    const kept = Math.min(8, Math.max(0, prefixLength - i * 8));
    bytes[i]! &= (0xff00 >> kept) & 0xff;
  }
  return bytes;
}
