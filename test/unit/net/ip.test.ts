// SPDX-License-Identifier: Apache-2.0
// Addresses, networks and peers' host:port as people write them.
import { describe, expect, test } from "bun:test";
import { type Cidr, cidrContains, cidrsOverlap, formatCidr, hasHostBits, networkOf, parseCidr } from "../../../src/net/cidr.ts";
import { formatIpPort, parseHostPort, parseIpPort } from "../../../src/net/endpoint.ts";
import { type Ip, ipBytes, ipBytes16, ipFromBytes, isIpv6, parseIp } from "../../../src/net/ip.ts";

const cidr = (text: string): Cidr => parseCidr(text)!;
const ip = (text: string): Ip => parseIp(text)!;

describe("addresses", () => {
  test("equal addresses are equal strings", () => {
    expect(parseIp("2001:DB8:0:0:0::1")).toBe(ip("2001:db8::1"));
    expect(parseIp("::ffff:192.0.2.1")).toBe(ip("192.0.2.1"));
    expect(parseIp("0:0:0:0:0:0:0:0")).toBe(ip("::"));
  });

  test("what is not exactly one address is refused", () => {
    for (const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "256.1.1.1",
      "01.2.3.4",
      "1.2.3.4/8",
      "fe80::1%eth0",
      "::g",
      "1::2::3",
      " 1.2.3.4",
      "host",
    ]) {
      expect(parseIp(text)).toBeUndefined();
    }
  });

  test("bytes go out and come back in network order", () => {
    expect([...ipBytes(ip("10.32.0.1"))]).toEqual([10, 32, 0, 1]);
    expect([...ipBytes(ip("::1"))]).toEqual([...new Array<number>(15).fill(0), 1]);
    expect(ipFromBytes(ipBytes16(ip("10.32.0.1")))).toBe(ip("10.32.0.1"));
    expect(ipFromBytes(ipBytes(ip("fd00:1::abcd")))).toBe(ip("fd00:1::abcd"));
    expect(() => ipFromBytes(new Uint8Array(5))).toThrow(RangeError);
    expect(isIpv6(ip("::1"))).toBe(true);
  });
});

describe("networks", () => {
  test("host bits are seen, and masked away for the network", () => {
    expect(hasHostBits(cidr("10.1.2.3/12"))).toBe(true);
    expect(networkOf(cidr("10.33.2.3/12"))).toBe(ip("10.32.0.0"));
    expect(networkOf(cidr("fd00:1::5/64"))).toBe(ip("fd00:1::"));
    expect(hasHostBits(cidr("0.0.0.0/0"))).toBe(false);
    expect(formatCidr(cidr("10.0.0.1/24"))).toBe("10.0.0.1/24");
  });

  test("containment and overlap keep families apart", () => {
    expect(cidrContains(cidr("10.0.0.0/8"), ip("10.255.0.1"))).toBe(true);
    expect(cidrContains(cidr("0.0.0.0/0"), ip("::1"))).toBe(false);
    expect(cidrsOverlap(cidr("10.32.0.0/12"), cidr("10.0.0.0/8"))).toBe(true);
    expect(cidrsOverlap(cidr("10.32.0.0/12"), cidr("10.48.0.0/12"))).toBe(false);
  });

  test("a length outside the family or with a leading zero is refused", () => {
    for (const text of ["10.0.0.0/33", "::/129", "10.0.0.0", "10.0.0.0/", "10.0.0.0/08", "/8", "10.0.0.0/-1", "x/8"])
      expect(parseCidr(text)).toBeUndefined();
  });
});

describe("peers", () => {
  test("names and addresses with and without a port", () => {
    expect(parseHostPort("Host-1.example")).toEqual({ host: "host-1.example", port: undefined });
    expect(parseHostPort("host1:6783")).toEqual({ host: "host1", port: 6783 });
    expect(parseHostPort("[2001:db8::1]:6783")).toEqual({ host: "2001:db8::1", port: 6783 });
    expect(parseHostPort("2001:db8::1")).toEqual({ host: "2001:db8::1", port: undefined });
  });

  test("misspelt addresses and ports are not taken for names", () => {
    for (const text of ["", ":6783", "10.0.0.999", "1.2.3", "host:0", "host:65536", "a b", "[1.2.3.4]:5", "-x", "host:"])
      expect(parseHostPort(text)).toBeUndefined();
  });

  test("an address with its port survives the round trip", () => {
    for (const text of ["10.0.0.1:6783", "[2001:db8::1]:6783"]) {
      const parsed = parseIpPort(text)!;
      expect(formatIpPort(parsed.ip, parsed.port)).toBe(text);
    }
    expect(parseIpPort("host:1")).toBeUndefined();
  });
});
