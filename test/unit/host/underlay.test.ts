// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { ensureBridge } from "../../../src/host/bridge.ts";
import { findRouteOverlap, hostAddresses, pathTo, refuseRouteOverlap } from "../../../src/host/underlay.ts";
import { type Cidr, parseCidr } from "../../../src/net/cidr.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

/** A host with an uplink (192.0.2.1/24, 2001:db8::1/64, default route) and the bridge. */
function host(): ScratchNetns {
  const scratch = ScratchNetns.make();
  for (const command of [
    "ip link set lo up",
    "ip link add eth0 mtu 1500 address 02:00:00:00:00:10 type veth peer name far",
    "ip link set eth0 addrgenmode none",
    "ip link set far up",
    "ip link set eth0 up",
    "ip addr add 192.0.2.1/24 dev eth0",
    "ip addr add 2001:db8::1/64 dev eth0 nodad",
    "ip route add default via 192.0.2.254",
    "ip route add 10.96.0.0/12 via 192.0.2.253",
    "ip route add 10.100.1.0/24 via 192.0.2.252",
    "ip route add 198.51.100.0/24 via 192.0.2.254 mtu 1400",
  ]) {
    scratch.run(...command.split(" "));
  }
  ensureBridge(
    scratch.links,
    { bridge: "weave", vxlan: "vxlan-6784", port: 6784, mtuBytes: 1410, mac: testMac(1) },
    scratch.netns,
  );
  scratch.run("ip", "addr", "add", "10.32.0.1/12", "dev", "weave");
  return scratch;
}
function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

describe.skipIf(!isRoot)("the underlay (needs root)", () => {
  const path = (scratch: ScratchNetns, text: string) => {
    const ip = parseIp(text);
    return ip && pathTo(scratch.links, ip);
  };

  test("the path to a host has its interface, source address and MTU", () => {
    using scratch = host();
    expect(path(scratch, "192.0.2.9")).toMatchObject({ linkName: "eth0", source: parseIp("192.0.2.1"), mtuBytes: 1500 });
    expect(path(scratch, "198.51.100.7")).toMatchObject({ linkName: "eth0", mtuBytes: 1400 });
    expect(path(scratch, "2001:db8::9")).toMatchObject({ linkName: "eth0", source: parseIp("2001:db8::1"), mtuBytes: 1500 });
    expect(path(scratch, "2001:db8:1::9")).toBeUndefined();
  });

  test("a route's MTU above the interface's does not count", () => {
    using scratch = host();
    scratch.run("ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.254", "mtu", "9000");
    expect(path(scratch, "203.0.113.1")?.mtuBytes).toBe(1500);
  });

  test("the host's addresses are those others reach it at", () => {
    using scratch = host();
    expect(hostAddresses(scratch.links)).toEqual([
      { cidr: cidr("192.0.2.1/24"), linkName: "eth0" },
      { cidr: cidr("2001:db8::1/64"), linkName: "eth0" },
    ]);
  });

  test("an overlapping route is found, the most specific one, whichever is larger", () => {
    using scratch = host();
    expect(findRouteOverlap(scratch.links, cidr("10.100.0.0/16"))).toEqual({ route: cidr("10.100.1.0/24"), linkName: "eth0" });
    expect(findRouteOverlap(scratch.links, cidr("10.101.3.0/24"))).toEqual({ route: cidr("10.96.0.0/12"), linkName: "eth0" });
    expect(findRouteOverlap(scratch.links, cidr("2001:db8::/80"))?.linkName).toBe("eth0");
  });

  test("default routes and our own do not count", () => {
    using scratch = host();
    for (const half of ["0.0.0.0/1", "128.0.0.0/1"]) scratch.run("ip", "route", "add", half, "via", "192.0.2.254");
    expect(findRouteOverlap(scratch.links, cidr("10.32.0.0/12"))).toBeUndefined();
    expect(findRouteOverlap(scratch.links, cidr("172.30.0.0/16"))).toBeUndefined();
  });

  test("a route that leads nowhere counts, without an interface", () => {
    using scratch = host();
    scratch.run("ip", "route", "add", "unreachable", "172.16.0.0/12");
    expect(findRouteOverlap(scratch.links, cidr("172.30.0.0/16"))).toEqual({ route: cidr("172.16.0.0/12"), linkName: undefined });
  });

  test("the refusal names network, route and interface", () => {
    using scratch = host();
    expect(() => refuseRouteOverlap(scratch.links, cidr("10.100.0.0/16"))).toThrow(
      "network 10.100.0.0/16 overlaps the existing route 10.100.1.0/24 of interface 'eth0' on this host",
    );
    refuseRouteOverlap(scratch.links, cidr("10.32.0.0/12"));
  });
});
