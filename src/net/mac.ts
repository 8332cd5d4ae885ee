// SPDX-License-Identifier: Apache-2.0
// Ethernet addresses (IEEE 802, 48 bits) as integers; the text form exists at the boundary only.

declare const brand: unique symbol;
/** A 48-bit Ethernet address, big-endian, as an integer below 2^48. */
export type Mac = number & { readonly [brand]: "Mac" };

export const MAC_BYTES = 6;
const LIMIT = 2 ** 48;
const GROUP_BIT = 2 ** 40; // lowest bit of the first byte: multicast or broadcast
const LOCAL_BIT = 2 ** 41; // next bit: locally administered

/** @throws {RangeError} `value` is not an integer below 2^48 */
export function macFromNumber(value: number): Mac {
  if (!Number.isInteger(value) || value < 0 || value >= LIMIT) throw new RangeError(`not a 48-bit address: ${value}`);
  return value as Mac;
}

/** Reads `aa:bb:cc:dd:ee:ff`; undefined when the text is anything else. */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Number.parseInt(text.replaceAll(":", ""), 16) as Mac;
}

export function formatMac(mac: number): string {
  return mac
    .toString(16)
    .padStart(12, "0")
    .replace(/..(?!$)/g, "$&:");
}

/** Turns 48 bits of any origin into a unicast, locally administered address. */
export function localUnicastMac(value: number): Mac {
  const without = value - (Math.floor(value / GROUP_BIT) % 2) * GROUP_BIT;
  return (without + (1 - (Math.floor(without / LOCAL_BIT) % 2)) * LOCAL_BIT) as Mac;
}

export function readMac(packet: DataView, at: number): Mac {
  return (packet.getUint16(at) * 2 ** 32 + packet.getUint32(at + 2)) as Mac;
}

export function writeMac(packet: DataView, at: number, mac: number): number {
  packet.setUint16(at, Math.floor(mac / 2 ** 32));
  packet.setUint32(at + 2, mac % 2 ** 32);
  return at + MAC_BYTES;
}
