// SPDX-License-Identifier: Apache-2.0
// Links, addresses and routes of real namespaces.
import { describe, expect, test } from "bun:test";
import { Links } from "../../../src/host/links.ts";
import { type Cidr, parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { formatMac } from "../../../src/net/mac.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}
function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

/** A veth from one namespace into another, both ends up. */
class Pair implements Disposable {
  readonly host = ScratchNetns.make();
  readonly guest = ScratchNetns.make();
  readonly hostIndex: number;
  readonly guestIndex: number;
  constructor() {
    const { links } = this.host;
    const host = { name: "vethwepl1", mac: testMac(1), mtuBytes: 1410, up: true };
    this.hostIndex = links.createVeth(host, { name: "ethwe", mac: testMac(2), mtuBytes: 1410, netns: this.guest.netns }).index;
    this.guestIndex = this.guest.links.get("ethwe")?.index ?? 0;
    this.guest.links.change(this.guestIndex, { up: true });
  }
  [Symbol.dispose](): void {
    this.host[Symbol.dispose]();
    this.guest[Symbol.dispose]();
  }
}

describe.skipIf(!isRoot)("links (needs root)", () => {
  test("a veth is born with its far end in another namespace, name, MAC and MTU final", () => {
    using pair = new Pair();
    const guest = pair.guest.links.get("ethwe");
    expect([guest?.kind, guest?.mac, guest?.mtuBytes, guest?.up, guest?.running]).toEqual(["veth", testMac(2), 1410, true, true]);
    expect(pair.guest.run("ip", "-o", "link", "show", "ethwe")).toContain(formatMac(testMac(2)));
    expect(pair.host.links.list().map(({ name }) => name)).toEqual(["lo", "vethwepl1"]);
  });

  test("each end knows the other's index and namespace", () => {
    using pair = new Pair();
    const host = pair.host.links.get("vethwepl1");
    const guest = pair.guest.links.get("ethwe");
    expect([host?.peerIndex, guest?.peerIndex]).toEqual([pair.guestIndex, pair.hostIndex]);
    expect(host?.peerNetnsId).toBe(pair.host.links.netnsId(pair.guest.netns));
    expect(guest?.peerNetnsId).toBe(pair.guest.links.netnsId(pair.host.netns));
  });

  test("a namespace no link leads to has no id", () => {
    using one = ScratchNetns.make();
    using other = ScratchNetns.make();
    expect(one.links.netnsId(other.netns)).toBeUndefined();
  });

  test("removing one end removes the other, and removing twice says so", () => {
    using pair = new Pair();
    expect([
      pair.host.links.delete("vethwepl1"),
      pair.host.links.delete("vethwepl1"),
      pair.host.links.delete(pair.hostIndex),
    ]).toEqual([true, false, false]);
    expect(pair.guest.links.get("ethwe")).toBeUndefined();
  });

  test("a socket keeps its namespace after the namespace object is closed", () => {
    using scratch = ScratchNetns.make();
    using links = Links.openIn(scratch.path);
    links.createVeth({ name: "a", mac: testMac(1) }, { name: "b", mac: testMac(2) });
    expect(scratch.links.list().map(({ name }) => name)).toEqual(["lo", "b", "a"]);
  });

  test("a closed Links throws a TypeError", () => {
    using scratch = ScratchNetns.make();
    const links = Links.openIn(scratch.netns);
    links[Symbol.dispose]();
    expect(() => links.list()).toThrow(TypeError);
  });

  test("a taken name, a bad MTU and a missing link are told in the kernel's words", () => {
    using pair = new Pair();
    const { links } = pair.host;
    expect(() => links.createBridge({ name: "vethwepl1", mac: testMac(3) }, {})).toThrow("RTM_NEWLINK vethwepl1: EEXIST (17)");
    expect(() => links.change(pair.hostIndex, { mtuBytes: 10 })).toThrow(/EINVAL \(22\): mtu less than device minimum/);
    expect(() => links.change(9_999, { up: true })).toThrow(/RTM_SETLINK link 9999: ENODEV \(19\)/);
    expect(() => links.createBridge({ name: "a-name-that-is-too-long", mac: testMac(3) }, {})).toThrow(/ERANGE|EINVAL/);
  });

  test("fields change in place", () => {
    using pair = new Pair();
    const { links } = pair.host;
    links.change(pair.hostIndex, { name: "vethwepl2", mtuBytes: 1300, mac: testMac(9), alias: "web1", up: false });
    expect(links.get("vethwepl2")).toMatchObject({
      index: pair.hostIndex,
      mtuBytes: 1300,
      mac: testMac(9),
      alias: "web1",
      up: false,
    });
  });

  test("a link moves into another namespace", () => {
    using pair = new Pair();
    using third = ScratchNetns.make();
    pair.guest.links.change(pair.guestIndex, { netnsFd: third.netns.fd });
    expect([pair.guest.links.get("ethwe"), third.links.get("ethwe")?.mac]).toEqual([undefined, testMac(2)]);
  });

  test("a port of a bridge takes its options", () => {
    using pair = new Pair();
    const { links } = pair.host;
    const bridge = links.createBridge({ name: "weave", mac: testMac(3) }, { stp: false, multicastSnooping: false });
    links.change(pair.hostIndex, { master: bridge.index });
    links.setPortOptions(pair.hostIndex, { hairpin: true, isolated: true, multicastFlood: false });
    expect(links.get(pair.hostIndex)).toMatchObject({
      master: bridge.index,
      port: { hairpin: true, isolated: true, multicastFlood: false },
    });
    links.change(pair.hostIndex, { master: 0 });
    expect(links.get(pair.hostIndex)).toMatchObject({ master: undefined, port: undefined });
  });

  test("a list by kind or by bridge has those only", () => {
    using pair = new Pair();
    const { links } = pair.host;
    const bridge = links.createBridge({ name: "weave", mac: testMac(3) }, {});
    const names = (filter: Parameters<typeof links.list>[0]) => links.list(filter).map(({ name }) => name);
    expect([names({ kind: "veth" }), names({ kind: "bridge" }), names({ kind: "nosuch" })]).toEqual([
      ["vethwepl1"],
      ["weave"],
      [],
    ]);
    expect(names({ master: bridge.index })).toEqual([]);
    links.change(pair.hostIndex, { master: bridge.index });
    expect(names({ master: bridge.index })).toEqual(["vethwepl1"]);
  });

  test("a table of many links is read whole", () => {
    using scratch = ScratchNetns.make();
    for (let i = 0; i < 200; i++) {
      scratch.links.createVeth({ name: `a${i}`, mac: testMac(2 * i) }, { name: `b${i}`, mac: testMac(2 * i + 1) });
    }
    const names = new Set(scratch.links.list().map(({ name }) => name));
    expect(names.size).toBe(401);
  });
});

describe.skipIf(!isRoot)("addresses and routes (needs root)", () => {
  test("are added once and deleted once", () => {
    using pair = new Pair();
    const { links } = pair.guest;
    const add = (text: string) => links.addAddress(pair.guestIndex, cidr(text), { noDuplicateDetection: true });
    expect([add("10.32.0.1/12"), add("10.32.0.1/12"), add("fd00::1/64"), add("fd00::1/64")]).toEqual([true, false, true, false]);
    const remove = (text: string) => links.deleteAddress(pair.guestIndex, cidr(text));
    expect([remove("10.32.0.1/12"), remove("10.32.0.1/12"), remove("fd00::1/64"), remove("fd00::1/64")]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  test("are listed as they were given", () => {
    using pair = new Pair();
    const { links } = pair.guest;
    links.setAddressless(pair.guestIndex);
    for (const text of ["10.32.0.1/12", "fd00::1/64"])
      links.addAddress(pair.guestIndex, cidr(text), { noDuplicateDetection: true });
    const global = links.addresses(pair.guestIndex).filter(({ scope }) => scope === 0);
    expect(global.map((entry) => [entry.cidr, entry.duplicate])).toEqual([
      [cidr("10.32.0.1/12"), "no"],
      [cidr("fd00::1/64"), "no"],
    ]);
    expect(pair.guest.run("ip", "-4", "addr", "show", "ethwe")).toContain("10.32.0.1/12 brd 10.47.255.255");
  });

  test("without a prefix route none appears", () => {
    using pair = new Pair();
    pair.guest.links.addAddress(pair.guestIndex, cidr("10.32.0.1/12"), { noPrefixRoute: true });
    expect(pair.guest.links.routes.list().filter(({ destination }) => !destination.address.includes(":"))).toEqual([]);
  });

  test("an address without a broadcast address gets none", () => {
    using pair = new Pair();
    for (const text of ["10.32.0.1/32", "10.40.0.0/31"]) pair.guest.links.addAddress(pair.guestIndex, cidr(text));
    expect(pair.guest.run("ip", "-4", "addr", "show", "ethwe")).not.toContain("brd 10.");
  });

  test("a route is made, looked up, replaced and removed", () => {
    using pair = new Pair();
    const { routes } = pair.guest.links;
    pair.guest.links.addAddress(pair.guestIndex, cidr("10.32.0.1/24"));
    const plan = { destination: cidr("10.99.0.0/16"), linkIndex: pair.guestIndex, gateway: ip("10.32.0.9"), mtuBytes: 1300 };
    expect(routes.towards(ip("10.99.1.2"))).toBeUndefined();
    routes.replace(plan);
    expect(routes.towards(ip("10.99.1.2"))).toMatchObject({ gateway: ip("10.32.0.9"), source: ip("10.32.0.1"), mtuBytes: 1300 });
    routes.replace({ ...plan, mtuBytes: 1200 });
    expect(routes.list().filter(({ destination }) => destination.address === "10.99.0.0")).toMatchObject([{ mtuBytes: 1200 }]);
    expect([routes.delete(plan), routes.delete(plan)]).toEqual([true, false]);
  });

  test("the same in IPv6", () => {
    using pair = new Pair();
    const { routes } = pair.guest.links;
    pair.guest.links.addAddress(pair.guestIndex, cidr("fd00::1/64"), { noDuplicateDetection: true });
    const plan = { destination: cidr("fd99::/48"), linkIndex: pair.guestIndex, gateway: ip("fd00::9"), mtuBytes: 1300 };
    routes.replace(plan);
    expect(routes.towards(ip("fd99::5"))).toMatchObject({ gateway: ip("fd00::9"), source: ip("fd00::1"), mtuBytes: 1300 });
    expect([routes.delete(plan), routes.delete(plan)]).toEqual([true, false]);
  });

  test("a multicast route is made and removed", () => {
    using pair = new Pair();
    const plan = { destination: cidr("224.0.0.0/4"), linkIndex: pair.guestIndex };
    pair.guest.links.routes.replace(plan);
    expect(pair.guest.run("ip", "route")).toContain("224.0.0.0/4 dev ethwe");
    expect(pair.guest.links.routes.delete(plan)).toBe(true);
  });

  test("an address of this host is known as such, and a blackhole leads nowhere", () => {
    using scratch = ScratchNetns.make();
    scratch.run("ip", "link", "set", "lo", "up");
    scratch.run("ip", "route", "add", "blackhole", "10.66.0.0/16");
    expect(scratch.links.routes.towards(ip("127.0.0.1"))?.local).toBe(true);
    expect(scratch.links.routes.towards(ip("10.66.0.1"))).toBeUndefined();
    expect(scratch.links.routes.list()).toMatchObject([{ destination: cidr("10.66.0.0/16"), linkIndex: undefined }]);
  });
});
