// SPDX-License-Identifier: Apache-2.0
// Loops that end, packets too big for the way, the relay's and the receiver's short cut.
import { describe, expect, test } from "bun:test";
import { encodeProbe } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import { vxlan } from "./packets.ts";
import { ping } from "./ping.ts";
import { planOf } from "./plans.ts";
import { transfer } from "./transfer.ts";
import { count, Wire } from "./wire.ts";
import { type Guest, ipBatch, type Node, sh, World, type WorldOptions } from "./world.ts";

const CHAIN = [
  ["a", "b"],
  ["b", "c"],
] as const;
const RING = [...CHAIN, ["c", "a"]] as const;

function address6(guest: Guest): string {
  return `fd32::${guest.host.id}:${guest.host.guests.indexOf(guest) + 1}`;
}
function relays(world: World): number {
  return [...world.nodes.values()].reduce((sum, node) => sum + count(node, "relayed") + count(node, "relayed-by-rewrite"), 0);
}

describe("a routing loop of three hosts", () => {
  test("ends after as many relays as the time to live allows, and is counted", async () => {
    using world = new World({ cables: RING });
    const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
    const [nowhere, elsewhere] = [99 as Node["id"], 98 as Node["id"]]; // where it goes, and where it seems to come from
    for (const [node, next] of [
      [a, b],
      [b, c],
      [c, a],
    ] as const) {
      const plan = planOf(world, node);
      node.apply({ ...plan, nextHops: new Map([...plan.nextHops, [nowhere, next.id], [elsewhere, next.id]]) });
    }
    using wire = new Wire(c, world.cable("c", "a").addresses.get(a) ?? "");
    const drops = () => [a, b, c].reduce((sum, node) => sum + count(node, "ttl"), 0);
    const frame = encodeProbe({ destination: "02:00:00:00:99:02", source: "02:00:00:00:99:01", sender: 1, sequence: 1 });
    wire.send(vxlan(elsewhere, nowhere, frame));
    await waitFor("the frame's end", () => drops() === 1, { deadlineMs: 2_000 });
    expect(relays(world)).toBe(63);
  });
});

describe("a packet too big for the underlay", () => {
  const CASES: readonly (readonly [string, Partial<WorldOptions>])[] = [
    ["past the bridge", {}],
    ["over the bridge", { tuning: { bypass: false } }],
    ["with the small object", { object: "small" }],
  ];
  for (const [how, options] of CASES) {
    test(`is answered ${how}: at the first hop and at the second, in IPv4 and IPv6, and TCP goes on`, async () => {
      using world = new World({ cables: CHAIN, ...options });
      const [near, far] = [world.guest("a"), world.guest("c")];
      for (const to of [far.address, address6(far)]) expect(ping(near, to).received).toBeGreaterThan(0);
      const tables = () =>
        [...world.nodes.values()].map((node) =>
          node.datapath
            .macs()
            .map(({ mac, peer }) => `${mac} ${peer}`)
            .sort(),
        );
      const before = tables();
      // 1450 bytes carry the overlay's 1400; an IPv4 underlay takes 50 of what is left, and the kernel never goes below 1280 for IPv6.
      ipBatch(world.node("b").netns, "link set u2 mtu 1350");
      ipBatch(world.node("c").netns, "link set u2 mtu 1350");
      world.node("b").watchUnderlay();
      await expectTooBig(near, far, 1300);
      expect(await transfer(near, far, far.address, 3_000_000, 5_000)).toMatchObject({ isIntact: true });
      expect(await transfer(near, far, address6(far), 3_000_000, 5_000)).toMatchObject({ isIntact: true });
      ipBatch(world.node("a").netns, "link set u1 mtu 1340");
      const direct = world.guest("b");
      await expectTooBig(near, direct, 1290);
      expect(await transfer(near, direct, direct.address, 3_000_000, 5_000)).toMatchObject({ isIntact: true });
      expect(tables()).toEqual(before);
      expect(count(world.node("a"), "own-source")).toBe(0);
    });
  }

  test('without "don\'t fragment" it arrives in fragments of the underlay', () => {
    using world = new World({ cables: CHAIN });
    for (const name of ["a", "b"]) ipBatch(world.node(name).netns, "link set u1 mtu 1350");
    const result = ping(
      world.guest("a"),
      world.guest("b").address,
      "-c",
      "5",
      "-i",
      "0.02",
      "-W",
      "1",
      "-M",
      "dont",
      "-s",
      "1372",
    );
    expect(result.received).toBe(5);
  });
});

async function expectTooBig(from: Guest, to: Guest, mtu: number): Promise<void> {
  const v4 = ping(from, to.address, "-c", "2", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1360");
  expect(v4.text).toMatch(new RegExp(`mtu ?= ?${mtu}|message too long, mtu=${mtu}`));
  const v6 = ping(from, address6(to), "-c", "2", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1340");
  expect(v6.text).toMatch(new RegExp(`mtu ?= ?${mtu}|message too long, mtu: ?${mtu}`));
}

describe("the relay's short cut", () => {
  for (const ipv6 of [undefined, "all"] as const) {
    test(`rewrites ${ipv6 ? "IPv6" : "IPv4"} outer headers, and TCP passes whole`, async () => {
      using world = new World({ cables: CHAIN, ...(ipv6 ? { ipv6 } : {}) });
      const [near, far] = [world.guest("a"), world.guest("c")];
      expect(ping(near, far.address).received).toBe(3);
      expect(await transfer(near, far, far.address, 10_000_000, 5_000)).toMatchObject({ isIntact: true });
      expect(await transfer(near, far, address6(far), 3_000_000, 5_000)).toMatchObject({ isIntact: true });
      const b = world.node("b");
      expect(count(b, "relayed-by-rewrite")).toBeGreaterThan(20);
      expect(count(b, "relayed")).toBe(0);
      const { peers } = b.inside(() => b.datapath.counters());
      expect(peers.get(near.host.id)?.fromNeighbour.packets).toBeGreaterThan(20);
      expect(peers.get(far.host.id)?.toNeighbour.packets).toBeGreaterThan(20);
    });
  }

  test("is not taken where the families differ, the way out is narrower, or nothing is watched", async () => {
    using world = new World({ cables: CHAIN, ipv6: "every-second" });
    const [near, far, b] = [world.guest("a"), world.guest("c"), world.node("b")];
    expect(ping(near, far.address).received).toBe(3);
    expect(count(b, "relayed-by-rewrite")).toBe(0);
    expect(count(b, "relayed")).toBeGreaterThan(5);
    using narrow = new World({ cables: CHAIN });
    ipBatch(narrow.node("b").netns, "link set u2 mtu 1480");
    narrow.node("b").watchUnderlay();
    expect(ping(narrow.guest("a"), narrow.guest("c").address).received).toBe(3);
    expect(count(narrow.node("b"), "relayed-by-rewrite")).toBeLessThan(5); // only back: the way in is wide enough for that
    narrow.node("b").inside(() => narrow.node("b").datapath.setUnderlay([]));
    const before = count(narrow.node("b"), "relayed-by-rewrite");
    expect(ping(narrow.guest("a"), narrow.guest("c").address).received).toBe(3);
    expect(count(narrow.node("b"), "relayed-by-rewrite")).toBe(before);
  });

  test("is not taken by a datagram with a checksum, which a rewrite would break", async () => {
    using world = new World({ cables: CHAIN });
    const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
    using wire = new Wire(a, world.cable("a", "b").addresses.get(b) ?? "");
    const frame = encodeProbe({ destination: world.guest("c").mac, source: "02:00:00:00:99:01", sender: 1, sequence: 1 });
    wire.send(vxlan(a.id, c.id, frame));
    await waitFor("the relayed frame", () => count(b, "relayed") === 1);
    expect(count(b, "relayed-by-rewrite")).toBe(0);
  });
});

describe("the receiver's short cut", () => {
  for (const ipv6 of [undefined, "all"] as const) {
    test(`unwraps both families inside ${ipv6 ? "IPv6" : "IPv4"}, and data is intact`, async () => {
      using world = new World({ cables: CHAIN, ...(ipv6 ? { ipv6 } : {}) });
      const [near, far] = [world.guest("a"), world.guest("b")];
      ping(near, far.address);
      ping(near, address6(far));
      const before = count(world.node("b"), "unwrapped");
      expect(ping(near, far.address, "-c", "20", "-i", "0.002", "-s", "1300", "-p", "a5").received).toBe(20);
      expect(ping(near, address6(far), "-c", "20", "-i", "0.002", "-s", "1300", "-p", "5a").received).toBe(20);
      expect(count(world.node("b"), "unwrapped") - before).toBeGreaterThanOrEqual(40);
      expect(await transfer(near, far, far.address, 10_000_000, 5_000)).toMatchObject({ isIntact: true });
      expect(await transfer(near, far, address6(far), 10_000_000, 5_000)).toMatchObject({ isIntact: true });
    });
  }

  test("leaves out what is not for an address of the port", () => {
    using world = new World({ cables: CHAIN });
    const [near, far] = [world.guest("a"), world.guest("b")];
    ipBatch(far.netns, "addr add 10.32.200.1/32 dev lo"); // behind the container, as if it routed
    ipBatch(near.netns, `route add 10.32.200.1/32 via ${far.address}`);
    ping(near, far.address);
    const before = count(world.node("b"), "unwrapped");
    ping(near, "10.32.200.1", "-c", "5", "-i", "0.01", "-W", "1");
    expect(count(world.node("b"), "unwrapped")).toBe(before);
  });
});

test("a port without bypass sees all its frames on the bridge, in both directions and also from neighbours on the host", () => {
  using world = new World({ cables: [["a", "b"]], guestsPerHost: 2 });
  const [port, beside, far] = [world.guest("a"), world.guest("a", 2), world.guest("b")];
  const b = world.node("b");
  const a = world.node("a");
  const onBridge = () => {
    const [link] = JSON.parse(sh(["ip", "-n", a.netns, "-j", "-s", "link", "show", port.port])) as [
      { stats64: { tx: { packets: number } } },
    ];
    return link.stats64.tx.packets;
  };
  const pings = () => [beside, far].map((from) => ping(from, port.address, "-c", "20", "-i", "0.002", "-W", "1").received);
  expect(pings()).toEqual([20, 20]);
  const bypassed = onBridge();
  expect(pings()).toEqual([20, 20]);
  expect(onBridge() - bypassed).toBeLessThan(10);
  a.inside(() => a.datapath.attachPort(port.ifindex, { ...port.policy, bypass: false }));
  const bridged = onBridge();
  expect(pings()).toEqual([20, 20]);
  expect(onBridge() - bridged).toBeGreaterThanOrEqual(40);
  a.close();
  a.open();
  expect(a.datapath.ports().get(port.ifindex)?.bypass).toBe(false);
  expect(count(b, "own-source")).toBe(0);
});
