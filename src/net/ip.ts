// SPDX-License-Identifier: Apache-2.0
// IP addresses as canonical text: equal addresses are equal strings, so they are map keys and JSON as they are. IPv6 in the form of
// RFC 5952, v4-mapped IPv6 as the IPv4 address it stands for. Bytes exist where a header or the kernel wants them.
import { Address4, Address6 } from "ip-address";

declare const brand: unique symbol;
/** An IPv4 or IPv6 address, canonical, without prefix length or zone. */
export type Ip = string & { readonly [brand]: "Ip" };

/** Reads an address without prefix length or zone; undefined when the text is anything else. */
export function parseIp(text: string): Ip | undefined {
  if (/[/%\s]/.test(text)) return undefined;
  if (Address4.isValid(text)) return new Address4(text).correctForm() as Ip;
  if (!text.includes(":") || !Address6.isValid(text)) return undefined;
  const address = new Address6(text);
  return ipFromBytes(
    Uint8Array.from(
      address.toUnsignedByteArray().length === 16 ? address.toUnsignedByteArray() : padTo16(address.toUnsignedByteArray()),
    ),
  );
}

function padTo16(bytes: readonly number[]): number[] {
  return [...new Array<number>(Math.max(0, 16 - bytes.length)).fill(0), ...bytes].slice(-16);
}

export function isIpv6(ip: Ip): boolean {
  return ip.includes(":");
}

/** 4 or 16 bytes, network order. */
export function ipBytes(ip: Ip): Uint8Array {
  if (!isIpv6(ip)) return Uint8Array.from(ip.split("."), Number);
  return Uint8Array.from(padTo16(new Address6(ip).toUnsignedByteArray()));
}

/** 16 bytes, network order, IPv4 as ::ffff:a.b.c.d: the form of the datapath's map keys. */
export function ipBytes16(ip: Ip): Uint8Array {
  const bytes = ipBytes(ip);
  if (bytes.length === 16) return bytes;
  const mapped = new Uint8Array(16);
  mapped.fill(0xff, 10, 12);
  mapped.set(bytes, 12);
  return mapped;
}

/** @throws {RangeError} not 4 or 16 bytes */
export function ipFromBytes(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join(".") as Ip;
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (isMapped) return bytes.subarray(12).join(".") as Ip;
  return Address6.fromUnsignedByteArray([...bytes]).correctForm() as Ip;
}
