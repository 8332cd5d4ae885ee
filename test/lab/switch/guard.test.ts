// SPDX-License-Identifier: Apache-2.0
// What a container may send and what it may not: one test for each reason, and the right frames beside the wrong ones.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { DropReason } from "../../../native/bpf/maps.ts";
import { LAYOUT_VERSION } from "../../../native/bpf/maps.ts";
import { BpfMap } from "../../../native/libbpf/map.ts";
import { FrameSocket } from "../../support/frames.ts";
import { closeSocket, inNetns, linkIndex, openSocket, sendPacketTo, setSocketOption } from "../../support/libc.ts";
import { waitFor } from "../../support/wait.ts";
import {
  arp,
  bytes,
  ETHERTYPE,
  ethernet,
  extension,
  fragmentHeader,
  icmpv6,
  ipv4,
  ipv6,
  PROTOCOL,
  u32,
  udp,
  vlan,
} from "./packets.ts";
import { expectCount } from "./wire.ts";
import { cidrOf, type Guest, type Node, netnsPath, World } from "./world.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const MARK_KEYED = 0x77657631; // native/bpf/send.h
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ALL_NODES = "33:33:00:00:00:01";
const OWN4 = "10.32.1.1";
const OWN6 = "fd32::1:1";
const LINK_LOCAL = "fe80::ff:fe00:101";
const OTHER4 = "10.32.1.2";
const OTHER6 = "fd32::1:2";

let world: World;
let a: Node;
let guest: Guest;
let sender: FrameSocket;
let far: FrameSocket; // the guest on the other host
beforeAll(() => {
  world = new World({ cables: [["a", "b"]] });
  a = world.node("a");
  guest = world.guest("a");
  sender = world.socket(guest.netns);
  far = world.socket(world.guest("b").netns);
});
afterAll(() => world[Symbol.dispose]());

type Frame = (destination: string, source: string) => Uint8Array;
const packet4 =
  (from: string, protocol: number, payload: Uint8Array, fragment = 0): Frame =>
  (destination, source) =>
    ethernet(destination, source, ETHERTYPE.ipv4, ipv4(from, "10.32.2.1", protocol, payload, fragment));
const packet6 =
  (from: string, next: number, payload: Uint8Array): Frame =>
  (destination, source) =>
    ethernet(destination, source, ETHERTYPE.ipv6, ipv6(from, "ff02::1", next, payload));
const arpFrame =
  (senderMac: string, from: string): Frame =>
  (destination, source) =>
    ethernet(destination, source, ETHERTYPE.arp, arp(1, senderMac, from, "10.32.2.1"));

const MAC = "02:00:00:00:01:01"; // of the guest on host a
const IPV6_DHCP_SERVER = udp(547, 546);

const REFUSED: readonly (readonly [what: string, reason: DropReason, frame: Frame])[] = [
  ["IPv4 from another address", "source-ipv4", packet4(OTHER4, PROTOCOL.udp, udp(1, 2))],
  ["IPv4 from 0.0.0.0 that asks no DHCP server", "source-ipv4", packet4("0.0.0.0", PROTOCOL.udp, udp(1, 2))],
  ["a DHCP server's answer", "dhcp-server", packet4(OWN4, PROTOCOL.udp, udp(67, 68))],
  ["a DHCP server's answer whose rest is in a fragment", "dhcp-server", packet4(OWN4, PROTOCOL.udp, udp(67, 68), 0x2000)],
  ["ARP that gives another address as its own", "source-arp", arpFrame(MAC, OTHER4)],
  ["ARP that gives another MAC as its own", "source-arp", arpFrame("02:00:00:00:01:02", OWN4)],
  [
    "ARP of another kind of network",
    "malformed",
    (to, from) => ethernet(to, from, ETHERTYPE.arp, bytes([0, 6], new Uint8Array(26))),
  ],
  ["IPv4 cut short", "malformed", (to, from) => ethernet(to, from, ETHERTYPE.ipv4, bytes([0x41]))],
  ["IPv6 from another address", "source-ipv6", packet6(OTHER6, PROTOCOL.udp, udp(1, 2))],
  ["a router advertisement", "router-advertisement", packet6(LINK_LOCAL, PROTOCOL.icmpv6, icmpv6(134))],
  [
    "a router advertisement behind extension headers",
    "router-advertisement",
    packet6(LINK_LOCAL, PROTOCOL.hopByHop, bytes(extension(PROTOCOL.destination), extension(PROTOCOL.icmpv6), icmpv6(134))),
  ],
  [
    "a router advertisement in a first fragment",
    "router-advertisement",
    packet6(LINK_LOCAL, PROTOCOL.fragment, bytes(fragmentHeader(PROTOCOL.icmpv6, 0, true), icmpv6(134))),
  ],
  ["a redirect", "nd-redirect", packet6(LINK_LOCAL, PROTOCOL.icmpv6, icmpv6(137, OTHER6))],
  ["an advertisement of another's address", "source-nd", packet6(LINK_LOCAL, PROTOCOL.icmpv6, icmpv6(136, OTHER6))],
  ["a claim to another's address", "source-nd", packet6("::", PROTOCOL.icmpv6, icmpv6(135, OTHER6))],
  [
    "a neighbour solicitation in fragments",
    "source-nd",
    packet6(LINK_LOCAL, PROTOCOL.fragment, bytes(fragmentHeader(PROTOCOL.icmpv6, 0, true), icmpv6(135, OTHER6))),
  ],
  ["a DHCPv6 server's answer", "dhcp6-server", packet6(LINK_LOCAL, PROTOCOL.udp, IPV6_DHCP_SERVER)],
  [
    "more extension headers than anybody needs",
    "malformed",
    packet6(OWN6, PROTOCOL.destination, bytes(...Array.from({ length: 9 }, () => extension(PROTOCOL.destination)), icmpv6(134))),
  ],
  [
    "a forged address inside a tag of VLAN 0",
    "source-ipv4",
    (to, from) => ethernet(to, from, ETHERTYPE.vlan, vlan(0, ETHERTYPE.ipv4, ipv4(OTHER4, OWN4, PROTOCOL.udp, udp(1, 2)))),
  ],
  [
    "a forged ARP inside two tags",
    "source-arp",
    (to, from) => ethernet(to, from, ETHERTYPE.vlan, vlan(0, ETHERTYPE.vlan, vlan(0, ETHERTYPE.arp, arp(1, MAC, OTHER4, OWN4)))),
  ],
  [
    "four tags",
    "vlan-stack",
    (to, from) =>
      ethernet(
        to,
        from,
        ETHERTYPE.vlan,
        vlan(1, ETHERTYPE.vlan, vlan(2, ETHERTYPE.vlan, vlan(3, ETHERTYPE.vlan, vlan(4, ETHERTYPE.ipv4, new Uint8Array(20))))),
      ),
  ],
];

describe("a guarded port drops", () => {
  for (const [what, reason, frame] of REFUSED) {
    test(`${what}: ${reason}`, async () => {
      await expectCount(a, reason, () => sender.send(frame(BROADCAST, guest.mac)));
    });
  }

  test("a frame from another MAC or from a group address: source-mac", async () => {
    await expectCount(a, "source-mac", () => sender.send(packet4(OWN4, PROTOCOL.udp, udp(1, 2))(BROADCAST, "02:00:00:00:01:02")));
    await expectCount(a, "source-mac", () => sender.send(packet4(OWN4, PROTOCOL.udp, udp(1, 2))(BROADCAST, ALL_NODES)));
  });

  test("spanning tree and the like: link-local-group", async () => {
    await expectCount(a, "link-local-group", () =>
      sender.send(ethernet("01:80:c2:00:00:00", guest.mac, 0x0026, new Uint8Array(46))),
    );
  });

  test("a frame that looks like a probe: probe-forged", async () => {
    const probe = ethernet("02:77:76:70:00:02", guest.mac, ETHERTYPE.experiment, bytes(u32(1), u32(2)));
    await expectCount(a, "probe-forged", () => sender.send(probe));
  });

  test("what is seen before its policy is known: unknown-port", async () => {
    using ports = BpfMap.openPinned("ports", join(a.pinDir, `v${LAYOUT_VERSION}`, "ports"));
    const key = new Uint8Array(Uint32Array.of(guest.ifindex).buffer);
    const policy = ports.get(key);
    if (policy === undefined) throw new Error("the port has no policy");
    ports.delete(key);
    await expectCount(a, "unknown-port", () => sender.send(arpFrame(MAC, OWN4)(BROADCAST, guest.mac)));
    ports.set(key, policy);
  });
});

const ALLOWED: readonly (readonly [what: string, frame: Frame])[] = [
  ["IPv4 from its own address", packet4(OWN4, PROTOCOL.udp, udp(1, 2))],
  ["a later fragment", packet4(OWN4, PROTOCOL.udp, udp(67, 68), 0x0010)],
  ["a DHCP client's question", packet4("0.0.0.0", PROTOCOL.udp, udp(68, 67))],
  ["a membership report without address", packet4("0.0.0.0", PROTOCOL.igmp, new Uint8Array(32))],
  ["its own ARP", arpFrame(MAC, OWN4)],
  ["an ARP probe", arpFrame(MAC, "0.0.0.0")],
  ["IPv6 from its own address", packet6(OWN6, PROTOCOL.udp, udp(1, 2))],
  ["IPv6 from a link-local address", packet6(LINK_LOCAL, PROTOCOL.udp, udp(1, 2))],
  ["a neighbour solicitation", packet6(OWN6, PROTOCOL.icmpv6, icmpv6(135, OTHER6))],
  ["duplicate detection of its own address", packet6("::", PROTOCOL.icmpv6, icmpv6(135, OWN6))],
  ["an advertisement of its own address", packet6(OWN6, PROTOCOL.icmpv6, icmpv6(136, OWN6))],
  ["a router solicitation", packet6("::", PROTOCOL.icmpv6, icmpv6(133))],
  ["a membership report", packet6("::", PROTOCOL.hopByHop, bytes(extension(PROTOCOL.icmpv6), icmpv6(143)))],
  ["an unknown ethertype", (to, from) => ethernet(to, from, 0x1234, new Uint8Array(50).fill(7))],
  [
    "its own address inside a VLAN",
    (to, from) => ethernet(to, from, ETHERTYPE.vlan, vlan(9, ETHERTYPE.ipv4, ipv4(OWN4, OTHER4, PROTOCOL.udp, udp(1, 2)))),
  ],
];

describe("a guarded port lets through", () => {
  for (const [what, frame] of ALLOWED) {
    test(`${what}, which arrives on the other host`, async () => {
      far.drain();
      const sent = frame(BROADCAST, guest.mac);
      sender.send(sent);
      const tail = Buffer.from(sent.subarray(sent.length - 30)); // tags and padding aside, the end is the same
      const isSent = (frame: Uint8Array) => Buffer.from(frame).includes(tail);
      await waitFor("the frame", () => far.drain().some(isSent), { deadlineMs: 2_000, everyMs: 2 });
    });
  }
});

test("an address added to the policy is allowed at once, one taken away is not", async () => {
  const extra = cidrOf("10.32.7.7/16");
  const frame = packet4("10.32.7.7", PROTOCOL.udp, udp(1, 2))(BROADCAST, guest.mac);
  const more = Array.from({ length: 6 }, (_, i) => cidrOf(`10.32.8.${i + 1}/16`)); // more than the policy itself holds
  const before = guest.policy.addresses;
  await expectCount(a, "source-ipv4", () => sender.send(frame));
  a.inside(() => a.datapath.attachPort(guest.ifindex, { ...guest.policy, addresses: [...before, ...more, extra] }));
  far.drain();
  sender.send(frame);
  await waitFor("the frame", () => far.drain().length > 0, { deadlineMs: 2_000 });
  a.inside(() => a.datapath.attachPort(guest.ifindex, guest.policy));
  await expectCount(a, "source-ipv4", () => sender.send(frame));
  expect(a.datapath.ports().get(guest.ifindex)).toEqual(guest.policy);
});

test("IPv4 multicast reaches a container from its own subnets only: multicast-subnet", async () => {
  const b = world.node("b");
  const stranger = b.addGuest({ address: "10.77.0.1" });
  const listener = world.socket(stranger.netns);
  const to = "01:00:5e:01:02:03";
  const multicast = ethernet(to, guest.mac, ETHERTYPE.ipv4, ipv4(OWN4, "239.1.2.3", PROTOCOL.udp, udp(9, 9)));
  far.drain();
  await expectCount(b, "multicast-subnet", () => sender.send(multicast));
  await waitFor("the frame at a container of the subnet", () => far.drain().some((frame) => frame[0] === 1), {
    deadlineMs: 2_000,
  });
  expect(listener.drain().filter((frame) => frame[0] === 1)).toEqual([]);
});

test("a mark set inside a container does not pass for the switch's own", async () => {
  const fd = inNetns(netnsPath(guest.netns), () => openSocket(AF_PACKET, SOCK_RAW, 0));
  try {
    setSocketOption(fd, SOL_SOCKET, SO_MARK, new Uint8Array(new Uint32Array([MARK_KEYED]).buffer));
    const to = new Uint8Array(new ArrayBuffer(20)); // struct sockaddr_ll
    const view = new DataView(to.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setInt32(
      4,
      inNetns(netnsPath(guest.netns), () => linkIndex("ethwe")),
      true,
    );
    const frame = ethernet(BROADCAST, guest.mac, 0x1234, new Uint8Array(50).fill(0x4d));
    far.drain();
    expect(sendPacketTo(fd, frame, to)).toBe(true);
    await waitFor("the frame on the other host", () => far.drain().some((got) => got[20] === 0x4d), { deadlineMs: 2_000 });
  } finally {
    closeSocket(fd);
  }
});

describe("an unguarded port", () => {
  let free: Guest;
  beforeAll(() => {
    free = a.addGuest({ unguarded: true, macLimit: 3 });
  });

  test("may use any address, but not more MACs than its limit: mac-limit", async () => {
    using socket = new FrameSocket(netnsPath(free.netns), "ethwe");
    const from = (last: number) => packet4("1.2.3.4", PROTOCOL.udp, udp(1, 2))(BROADCAST, `02:00:00:00:55:0${last}`);
    far.drain();
    // Its own MAC may have been seen already, by what its interface says when it comes up.
    const own = a.datapath.macs().filter(({ ifindex }) => ifindex === free.ifindex).length;
    for (let i = 1; i <= 3 - own; i++) socket.send(from(i));
    await waitFor("the frames", () => a.datapath.macs().filter(({ ifindex }) => ifindex === free.ifindex).length === 3);
    await expectCount(a, "mac-limit", () => socket.send(from(9)));
    far.drain();
    socket.send(from(1));
    await waitFor("a known MAC's frame", () => far.drain().some((frame) => frame[10] === 0x55), { deadlineMs: 2_000 });
  });

  test("gets IPv4 multicast from everywhere", async () => {
    using listener = new FrameSocket(netnsPath(free.netns), "ethwe");
    const multicast = ethernet("01:00:5e:01:02:03", guest.mac, ETHERTYPE.ipv4, ipv4(OWN4, "239.1.2.3", PROTOCOL.udp, udp(9, 9)));
    sender.send(multicast);
    await waitFor("the frame", () => listener.drain().some((frame) => frame[0] === 1), { deadlineMs: 2_000 });
  });

  test("is forgotten with its MACs when it is detached", () => {
    expect(a.datapath.macs().some(({ ifindex }) => ifindex === free.ifindex)).toBe(true);
    a.inside(() => a.datapath.detachPort(free.ifindex));
    expect(a.datapath.macs().some(({ ifindex }) => ifindex === free.ifindex)).toBe(false);
    expect(a.datapath.ports().has(free.ifindex)).toBe(false);
  });
});
