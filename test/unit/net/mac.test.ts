// SPDX-License-Identifier: Apache-2.0
// MAC addresses and peer names: 48 bits in text, number and bytes.
import { expect, test } from "bun:test";
import { formatPeer, parsePeerName, peerNameFrom } from "../../../src/mesh/peer-name.ts";
import { formatMac, localUnicastMac, macFromNumber, parseMac, readMac, writeMac } from "../../../src/net/mac.ts";

test("text, number and bytes are the same address", () => {
  const mac = parseMac("02:0A:ff:00:10:7e")!;
  expect(formatMac(mac)).toBe("02:0a:ff:00:10:7e");
  const packet = new DataView(new ArrayBuffer(8));
  expect(writeMac(packet, 1, mac)).toBe(7);
  expect(readMac(packet, 1)).toBe(mac);
});

test("anything else is refused", () => {
  for (const text of ["", "02:0a:ff:00:10", "02:0a:ff:00:10:7e:00", "020aff00107e", "02-0a-ff-00-10-7e", "02:0a:ff:00:10:7g"])
    expect(parseMac(text)).toBeUndefined();
  expect(() => macFromNumber(2 ** 48)).toThrow(RangeError);
});

test("a derived address is unicast and locally administered, whatever the bits were", () => {
  for (const value of [0, 0xffffffffffff, 0x0123456789ab, 0x0300_0000_0000, 0x0100_0000_0000]) {
    const first = Number.parseInt(formatMac(localUnicastMac(value)).slice(0, 2), 16);
    expect(first & 0b11).toBe(0b10);
    expect(localUnicastMac(value) % 2 ** 40).toBe(value % 2 ** 40);
  }
});

test("peer names take the short form and never zero", () => {
  expect(formatPeer(parsePeerName("::1")!, "host1")).toBe("00:00:00:00:00:01(host1)");
  expect(parsePeerName("aa::1:2")).toBe(parsePeerName("aa:00:00:00:01:02")!);
  for (const text of ["", "::", "00:00:00:00:00:00", "1:2:3:4:5:6:7", "1::2::3", "a:b:c:d:e::f", "x::1"])
    expect(parsePeerName(text)).toBeUndefined();
  expect(peerNameFrom(1.5)).toBeUndefined();
  expect(peerNameFrom("1")).toBeUndefined();
});
