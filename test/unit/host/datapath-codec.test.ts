// SPDX-License-Identifier: Apache-2.0
// Map elements as bytes. Offsets are checked against C elsewhere; here the values that are easy to get wrong.
import { describe, expect, test } from "bun:test";
import { ENDPOINT, PORT, PORT_FLAG, PROBE_STATE } from "../../../native/bpf/maps.ts";
import {
  decodeEndpoint,
  decodeFlood,
  decodeMacKey,
  decodeNeighbour,
  decodePeerCounts,
  decodePort,
  decodePortAddress,
  decodeProbeAnswer,
  decodeSettings,
  encodeEndpoint,
  encodeFlood,
  encodeMacKey,
  encodeNeighbour,
  encodePort,
  encodePortAddress,
  encodePortSubnet,
  encodeSettings,
  sumCounts,
} from "../../../src/host/datapath-codec.ts";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import { type Cidr, parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { type Mac, parseMac } from "../../../src/net/mac.ts";
import type { Path } from "../../../src/overlay/plan.ts";

const ip = (text: string): Ip => parseIp(text) as Ip;
const cidr = (text: string): Cidr => parseCidr(text) as Cidr;
const mac = (text: string): Mac => parseMac(text) as Mac;

describe("an endpoint", () => {
  const somewhere = { local: undefined, via: undefined, relayIfindex: 0, mtuBytes: 1430 };
  const clear = (address: string): Path => ({ kind: "fastdp", address: ip(address) });

  test("of IPv4 has its number in the machine's order beside the mapped bytes", () => {
    const bytes = encodeEndpoint({ ...somewhere, path: clear("10.1.2.3") });
    expect(new DataView(bytes.buffer).getUint32(ENDPOINT.ipv4, true)).toBe(0x0a010203);
    expect([...bytes.subarray(0, 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]);
    expect(decodeEndpoint(bytes)).toEqual({ path: clear("10.1.2.3"), mtuBytes: 1430 });
  });
  test("of IPv6 has number 0, by which the switch tells the families apart", () => {
    const way = { local: ip("fd00::2"), via: ip("fe80::1"), relayIfindex: 7 };
    const bytes = encodeEndpoint({ ...way, path: clear("fd00::1"), mtuBytes: 0 });
    expect(new DataView(bytes.buffer).getUint32(ENDPOINT.ipv4, true)).toBe(0);
    expect(new DataView(bytes.buffer).getUint32(ENDPOINT.relayIfindex, true)).toBe(7);
    expect(decodeEndpoint(bytes)).toEqual({ path: clear("fd00::1"), mtuBytes: 0 });
    expect([bytes[ENDPOINT.local + 15], bytes[ENDPOINT.via]]).toEqual([2, 0xfe]);
  });
  test("inside WireGuard is never relayed to by rewriting", () => {
    const path: Path = { kind: "wireguard", address: ip("fd77::2") };
    const bytes = encodeEndpoint({ ...somewhere, relayIfindex: 7, path });
    expect(new DataView(bytes.buffer).getUint32(ENDPOINT.relayIfindex, true)).toBe(0);
    expect(decodeEndpoint(bytes).path).toEqual(path);
  });
  test("of the sleeve has no address", () => {
    const bytes = encodeEndpoint({ ...somewhere, path: { kind: "sleeve" } });
    expect(bytes.subarray(0, ENDPOINT.transport).some((byte) => byte !== 0)).toBe(false);
    expect(decodeEndpoint(bytes)).toEqual({ path: { kind: "sleeve" }, mtuBytes: 1430 });
  });
});

test("a neighbour's address says whether it is one inside WireGuard", () => {
  for (const isInside of [false, true]) {
    expect(decodeNeighbour(encodeNeighbour(7 as ShortId, ip("fd77::1"), isInside))).toEqual({ id: 7 as ShortId, isInside });
  }
});

describe("a tree", () => {
  test("survives the way there and back", () => {
    const flood = { parent: 9, hops: [1, 2, 4094] as ShortId[] };
    expect(decodeFlood(encodeFlood(flood, 12_345_678_901n))).toEqual({ ...flood, sinceNs: 12_345_678_901n });
  });
  test("with an impossible count is read as far as it can be", () => {
    const bytes = encodeFlood({ parent: 0, hops: [] }, 0n);
    new DataView(bytes.buffer).setUint16(0, 60_000, true);
    expect(decodeFlood(bytes).hops).toHaveLength(256);
  });
});

test("settings survive the way there and back", () => {
  const settings = {
    self: 7,
    vxlanIfindex: 3,
    flags: 3,
    ttl: 64,
    ageNs: 300n * 10n ** 9n,
    stampNs: 5n,
    dataPort: 6784,
    generation: 9,
    sleeveIfindex: 12,
  };
  expect(decodeSettings(encodeSettings(settings))).toEqual(settings);
});

test("a MAC is a key with its first byte first", () => {
  const key = encodeMacKey(mac("02:11:22:33:44:55"));
  expect([...key]).toEqual([2, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0]);
  expect(decodeMacKey(key)).toBe(mac("02:11:22:33:44:55"));
});

describe("a port", () => {
  const addresses = ["10.32.0.1/16", "fd32::1/64", "10.40.0.1/16"].map(cidr);

  test("with a MAC is guarded and holds its first four IPv4 addresses", () => {
    const bytes = encodePort({ mac: mac("02:00:00:00:00:01"), addresses, macLimit: 1, isPeerDevice: true, mayBypass: true });
    expect(decodePort(bytes)).toEqual({ mac: mac("02:00:00:00:00:01"), macLimit: 1, mayBypass: true });
    expect([...bytes.subarray(PORT.ipv4, PORT.ipv4 + 12)]).toEqual([10, 32, 0, 1, 10, 40, 0, 1, 0, 0, 0, 0]);
    const flags = new DataView(bytes.buffer).getUint32(PORT.flags, true);
    expect(flags).toBe(PORT_FLAG.GUARDED | PORT_FLAG.PEER_DEVICE | PORT_FLAG.BYPASS);
  });
  test("with a fifth one says that there are more", () => {
    const many = Array.from({ length: 5 }, (_, i) => cidr(`10.32.0.${i + 1}/16`));
    const bytes = encodePort({ mac: undefined, addresses: many, macLimit: 5, isPeerDevice: false, mayBypass: false });
    expect(new DataView(bytes.buffer).getUint32(PORT.flags, true)).toBe(PORT_FLAG.MORE_IPV4);
    expect(decodePort(bytes)).toEqual({ mac: undefined, macLimit: 5, mayBypass: false });
  });
  test("has its addresses as they are and its subnets without host bits, behind the interface", () => {
    expect(decodePortAddress(encodePortAddress(12, ip("10.32.0.1")))).toEqual({ ifindex: 12, address: ip("10.32.0.1") });
    const subnet = encodePortSubnet(12, cidr("10.32.5.1/16"));
    expect(new DataView(subnet.buffer).getUint32(0, true)).toBe(32 + 96 + 16);
    expect([...subnet.subarray(20)]).toEqual([10, 32, 0, 0]);
    expect(new DataView(encodePortSubnet(12, cidr("fd32::5/64")).buffer).getUint32(0, true)).toBe(32 + 64);
  });
});

describe("counts", () => {
  test("are summed over the CPUs", () => {
    const value = new BigUint64Array([1n, 100n, 2n, 200n]);
    expect(sumCounts(new Uint8Array(value.buffer), 16)).toEqual({ packets: 3, bytes: 300 });
  });
  test("of a peer are four, each summed", () => {
    const cpu = [1n, 10n, 2n, 20n, 3n, 30n, 4n, 40n];
    const counts = decodePeerCounts(new Uint8Array(new BigUint64Array([...cpu, ...cpu]).buffer));
    expect(counts.received).toEqual({ packets: 2, bytes: 20 });
    expect(counts.toNeighbour).toEqual({ packets: 8, bytes: 80 });
  });
});

test("a probe is answered when its slot is filled, with its own number", () => {
  const view = new DataView(new ArrayBuffer(PROBE_STATE.size));
  expect(decodeProbeAnswer(view, 0)).toBeUndefined();
  view.setBigUint64(24, 1_500n, true);
  view.setBigUint64(32, 99n, true);
  view.setUint32(40, 9, true);
  view.setUint32(44, 1_444, true);
  expect(decodeProbeAnswer(view, 9)).toEqual({ bytes: 1_444, rttNs: 1_500 });
  for (const other of [1, 8, 17]) expect(decodeProbeAnswer(view, other)).toBeUndefined();
});
