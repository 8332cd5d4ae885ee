// SPDX-License-Identifier: Apache-2.0
// The bridge and its VXLAN port in a real namespace: made, left alone, repaired, removed.
import { describe, expect, test } from "bun:test";
import { close } from "../../../native/libc/fd.ts";
import { AF, inetAddress } from "../../../native/libc/sockaddr.ts";
import { bind, SOCK, socket } from "../../../native/libc/socket.ts";
import { ensureBridge, removeBridge } from "../../../src/host/bridge.ts";
import { type BridgePlan, FDB_MAX_LEARNED, planBridge, vxlanMac } from "../../../src/host/bridge-plan.ts";
import { inNetns } from "../../../src/host/netns.ts";
import { readSysctl } from "../../../src/host/sysctl.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

const PLAN: BridgePlan = { bridge: "weave", vxlan: "vxlan-6784", port: 6784, mtuBytes: 1410, mac: testMac(1) };

function ensure(scratch: ScratchNetns, change: Partial<BridgePlan> = {}): readonly string[] {
  return ensureBridge(scratch.links, { ...PLAN, ...change }, scratch.netns).repaired;
}
function made(): ScratchNetns {
  const scratch = ScratchNetns.make();
  ensure(scratch);
  return scratch;
}
function refusalOf(action: () => unknown): UserError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof UserError) return thrown;
    throw thrown;
  }
  throw new Error("it was not refused");
}

describe.skipIf(!isRoot)("the bridge (needs root)", () => {
  test("comes up with its VXLAN port as the switch wants them", () => {
    using scratch = made();
    const bridge = scratch.links.get("weave");
    expect(bridge).toMatchObject({ kind: "bridge", mac: PLAN.mac, mtuBytes: 1410, up: true, addressless: true });
    expect(bridge?.bridge).toMatchObject({ stp: false, multicastSnooping: false });
    expect([undefined, FDB_MAX_LEARNED]).toContain(bridge?.bridge?.fdbMaxLearned);
    const vxlan = scratch.links.get("vxlan-6784");
    expect(vxlan).toMatchObject({ mac: vxlanMac(PLAN.mac), mtuBytes: 1410, up: true, master: bridge?.index, qdisc: "noqueue" });
    expect(vxlan?.vxlan).toEqual({ port: 6784, external: true, learning: false, udp6ZeroChecksumRx: true });
    expect(vxlan?.port).toMatchObject({
      forwarding: true,
      learning: true,
      unicastFlood: true,
      multicastFlood: true,
      isolated: false,
    });
    expect(scratch.links.addresses()).toEqual([]);
    expect(readSysctl("net/ipv6/conf/weave/accept_ra", scratch.netns)).toBe("0");
  });

  test("listens for both IPv4 and IPv6 underlays", () => {
    using scratch = made();
    const sockets = scratch.run("ss", "-Hlun").split("\n");
    expect(sockets.some((line) => line.includes("0.0.0.0:6784"))).toBe(true);
    expect(sockets.some((line) => line.includes("[::]:6784"))).toBe(true);
  });

  test("is left alone when it is right, and keeps its indexes", () => {
    using scratch = made();
    const first = ensureBridge(scratch.links, PLAN, scratch.netns);
    expect(first.repaired).toEqual([]);
    expect(ensureBridge(scratch.links, PLAN, scratch.netns)).toEqual(first);
  });

  // What somebody does by hand, and what is said about it.
  const DAMAGE: readonly (readonly [what: string, commands: readonly string[], said: RegExp])[] = [
    ["the VXLAN device removed", ["ip link del vxlan-6784"], /'vxlan-6784' was missing/],
    ["the bridge removed", ["ip link del weave"], /'weave' was missing/],
    ["both removed", ["ip link del weave", "ip link del vxlan-6784"], /'weave' was missing/],
    ["the VXLAN device taken out of the bridge", ["ip link set vxlan-6784 nomaster"], /no port of 'weave'/],
    ["both switched off", ["ip link set weave down", "ip link set vxlan-6784 down"], /'weave' was down/],
    ["another MTU", ["ip link set vxlan-6784 mtu 1300"], /had MTU 1300/],
    ["an MTU too small for IPv6", ["ip link set weave mtu 1000", "ip link set vxlan-6784 mtu 1000"], /'weave' had MTU 1000/],
    ["another MAC", ["ip link set weave address 02:00:00:00:00:99"], /another MAC/],
    ["snooping and spanning tree switched on", ["ip link set weave type bridge mcast_snooping 1 stp_state 1"], /other options/],
    ["port flags", ["ip link set vxlan-6784 type bridge_slave learning off isolated on mcast_flood off"], /other port options/],
    ["a queueing discipline", ["tc qdisc add dev vxlan-6784 root pfifo"], /queueing discipline 'pfifo'/],
    [
      "IPv6 addresses of its own",
      ["ip link set vxlan-6784 addrgenmode eui64", "ip link set vxlan-6784 down", "ip link set vxlan-6784 up"],
      /IPv6/,
    ],
    ["router advertisements accepted", ["sysctl -qw net.ipv6.conf.weave.accept_ra=2"], /accept_ra/],
    [
      "a VXLAN device with other settings",
      ["ip link del vxlan-6784", "ip link add vxlan-6784 type vxlan id 5 dstport 6784"],
      /other tunnel settings/,
    ],
  ];
  for (const [what, commands, said] of DAMAGE) {
    test(`${what} by hand is repaired, once`, () => {
      using scratch = made();
      for (const command of commands) scratch.run(...command.split(" "));
      expect(ensure(scratch).join("; ")).toMatch(said);
      expect(ensure(scratch)).toEqual([]);
      expect(scratch.links.addresses()).toEqual([]);
    });
  }

  test("another MTU or port is followed, and the device on the old port goes", () => {
    using scratch = made();
    ensure(scratch, { mtuBytes: 8900 });
    expect([scratch.links.get("weave")?.mtuBytes, scratch.links.get("vxlan-6784")?.mtuBytes]).toEqual([8900, 8900]);
    ensure(scratch, { mtuBytes: 8900, port: 7000, vxlan: "vxlan-7000" });
    expect(scratch.links.list().map(({ name }) => name)).toEqual(["lo", "weave", "vxlan-7000"]);
    expect(ensure(scratch, { mtuBytes: 8900, port: 7000, vxlan: "vxlan-7000" })).toEqual([]);
  });

  test("the MTU does not follow that of the ports", () => {
    using scratch = made();
    scratch.links.createVeth(
      { name: "vethwepl1", mac: testMac(5), mtuBytes: 1300, master: scratch.links.get("weave")?.index ?? 0 },
      { name: "g", mac: testMac(6) },
    );
    expect(ensure(scratch)).toEqual([]);
  });

  test("a link of another kind under its name is refused with advice", () => {
    using scratch = ScratchNetns.make();
    scratch.links.createVeth({ name: "weave", mac: testMac(1) }, { name: "other", mac: testMac(2) });
    const refusal = refusalOf(() => ensure(scratch));
    expect([refusal.code, refusal.message]).toEqual(["conflict", "link 'weave' exists and is of kind 'veth', not a bridge"]);
    expect(refusal.hint).toContain("ip link delete weave");
  });

  test("a VXLAN device of Weave Net's own datapath is left to it", () => {
    using scratch = made();
    const [bridge, vxlan] = [scratch.links.get("weave"), scratch.links.get("vxlan-6784")];
    if (!bridge || !vxlan) throw new Error("not made");
    const datapath = { ...bridge, name: "ovs-system", kind: "openvswitch" };
    const refusal = refusalOf(() => planBridge(PLAN, { bridge, vxlan, vxlanMaster: datapath, strays: [] }));
    expect(refusal.message).toContain("belongs to the Open vSwitch datapath 'ovs-system'");
    expect(planBridge(PLAN, { bridge, vxlan, vxlanMaster: bridge, strays: [] })).toEqual([]);
  });

  test("a UDP port in use is named, and nothing half done stays", () => {
    using scratch = ScratchNetns.make();
    const fd = inNetns(scratch.netns, () => {
      const taken = socket(AF.INET, SOCK.DGRAM, 0);
      bind(taken, inetAddress(Uint8Array.of(0, 0, 0, 0), 6784));
      return taken;
    });
    try {
      expect(refusalOf(() => ensure(scratch)).message).toBe(
        "cannot set up 'vxlan-6784': UDP port 6784 is in use by another program",
      );
      expect(scratch.links.list().map(({ name }) => name)).toEqual(["lo"]);
    } finally {
      close(fd);
    }
    expect(ensure(scratch)).not.toEqual([]);
  });

  test("another VXLAN device on the port is named", () => {
    using scratch = ScratchNetns.make();
    scratch.run("ip", "link", "add", "flannel.1", "type", "vxlan", "external", "dstport", "6784");
    scratch.run("ip", "link", "set", "flannel.1", "up");
    expect(refusalOf(() => ensure(scratch)).message).toContain("belongs to the VXLAN device 'flannel.1'");
  });

  test("is removed with all that is ours and nothing else", () => {
    using scratch = made();
    const { links } = scratch;
    const master = links.get("weave")?.index ?? 0;
    links.createVeth({ name: "vethwepl7", mac: testMac(5), master }, { name: "ethwe", mac: testMac(6) });
    links.createVeth({ name: "veth0", mac: testMac(7), master }, { name: "veth1", mac: testMac(8) });
    links.createBridge({ name: "docker0", mac: testMac(9) }, {});
    expect(removeBridge(links).sort()).toEqual(["vethwepl7", "vxlan-6784", "weave"]);
    expect(
      links
        .list()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["docker0", "lo", "veth0", "veth1"]);
    expect(removeBridge(links)).toEqual([]);
  });
});
