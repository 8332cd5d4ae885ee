// SPDX-License-Identifier: Apache-2.0
// Neighbours by clear VXLAN, by VXLAN inside WireGuard and by the sleeve: all in one tree, in one relay path, and one after the other.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Path } from "../../../src/overlay/plan.ts";
import { encodeProbe, FrameSocket } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import { Mixed, pathOver } from "./mixed.ts";
import { vxlan } from "./packets.ts";
import { ping, SteadyPing } from "./ping.ts";
import { addressOn, entryOf, planOf } from "./plans.ts";
import { inRounds, sendToEach, sendToGroups, Tally } from "./tally.ts";
import { transfer } from "./transfer.ts";
import { count, Wire } from "./wire.ts";
import { type Guest, type Node, netnsPath } from "./world.ts";

const ABSENT = "02:00:00:00:99:02";
const STRANGER = "02:00:00:00:99:01";

function address6(guest: Guest): string {
  return `fd32::${guest.host.id}:${guest.host.guests.indexOf(guest) + 1}`;
}

const SHAPES = {
  ring: {
    cables: [
      ["a", "b"],
      ["b", "c"],
      ["c", "d"],
      ["d", "a"],
    ],
    ways: { "a-b": "wireguard", "d-a": "sleeve" },
    far: ["b", "d"], // inside WireGuard, then by the sleeve
  },
  star: {
    cables: [
      ["a", "b"],
      ["a", "c"],
      ["a", "d"],
      ["a", "e"],
    ],
    ways: { "a-c": "wireguard", "a-d": "sleeve", "a-e": "sleeve" },
    far: ["b", "d"], // clear, then by the sleeve
  },
  "chain of sleeves": {
    cables: [
      ["a", "b"],
      ["b", "c"],
      ["c", "d"],
    ],
    ways: { "a-b": "sleeve", "b-c": "sleeve" },
    far: ["a", "d"],
  },
} as const;
const VARIANTS = {
  "full object": { object: "full", attach: "tcx", bypass: true },
  "full object over the bridge, classic tc": { object: "full", attach: "tc", bypass: false },
  "small object": { object: "small", attach: "tcx", bypass: true },
} as const;

for (const [shape, { cables, ways, far }] of Object.entries(SHAPES)) {
  describe(`${shape} of mixed transports`, () => {
    let mixed: Mixed;
    beforeAll(async () => {
      mixed = await Mixed.open(ways, { cables });
      mixed.world.node("b").addGuest();
    });
    afterAll(async () => await mixed?.[Symbol.asyncDispose]());

    for (const [variant, { object, attach, bypass }] of Object.entries(VARIANTS)) {
      test(`${variant}: groups once everywhere, known unicast to the addressee only`, async () => {
        const { world } = mixed;
        for (const node of world.nodes.values()) node.open({ bypass }, { object, attach });
        mixed.tellWireguard();
        using tally = new Tally(world);
        const carried = mixed.cable.frames;
        expect(await inRounds(tally, 3, sendToGroups)).toEqual([]);
        expect(await inRounds(tally, 3, sendToEach)).toEqual([]);
        expect(mixed.cable.frames).toBeGreaterThan(carried);
      });
    }

    test("TCP passes whole in both families and directions", async () => {
      const { world, cable } = mixed;
      const [one, other] = [world.guest(far[0]), world.guest(far[1])];
      const before = cable.superPackets;
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const) {
        expect(await transfer(from, to, to.address, 5_000_000, 5_000)).toMatchObject({ isIntact: true });
        expect(await transfer(from, to, address6(to), 5_000_000, 5_000)).toMatchObject({ isIntact: true });
      }
      expect(cable.superPackets - before).toBeGreaterThan(50);
    });
  });
}

test("a routing loop over the sleeve ends after as many relays as the time to live allows", async () => {
  const cables = [
    ["a", "b"],
    ["b", "c"],
    ["c", "a"],
  ] as const;
  await using mixed = await Mixed.open({ "b-c": "sleeve", "c-a": "sleeve" }, { cables });
  const { world } = mixed;
  const [a, b, c] = [world.node("a"), world.node("b"), world.node("c")];
  const [nowhere, elsewhere] = [99 as Node["id"], 98 as Node["id"]]; // where it goes, and where it seems to come from
  for (const [node, next] of [
    [a, b],
    [b, c],
    [c, a],
  ] as const) {
    const plan = node.inside(() => node.datapath.read());
    if (plan === undefined) throw new Error("no plan");
    node.apply({ ...plan, nextHops: new Map([...plan.nextHops, [nowhere, next.id], [elsewhere, next.id]]) });
  }
  using wire = new Wire(a, addressOn(world.cable("a", "b"), b));
  const sum = (name: "ttl" | "relayed") => [a, b, c].reduce((total, node) => total + count(node, name), 0);
  wire.send(vxlan(elsewhere, nowhere, encodeProbe({ destination: ABSENT, source: STRANGER, sender: 1, sequence: 1 })));
  await waitFor("the frame's end", () => sum("ttl") === 1, { deadlineMs: 2_000 });
  expect(sum("relayed")).toBe(63);
  expect(mixed.cable.frames).toBeGreaterThanOrEqual(42); // and what the containers say by themselves
});

describe("a neighbour with three ways", () => {
  // Two cables: the first is the underlay, the second the inside of WireGuard.
  let mixed: Mixed;
  let a: Node;
  let b: Node;
  let probes = 0; // so far, for their sequence
  let ways: Record<Path["kind"], { readonly toA: Path; readonly toB: Path }>;
  beforeAll(async () => {
    mixed = await Mixed.open(
      {},
      {
        cables: [
          ["a", "b"],
          ["a", "b"],
        ],
      },
    );
    const { world } = mixed;
    [a, b] = [world.node("a"), world.node("b")];
    const [clear, inside] = a.cables;
    if (clear === undefined || inside === undefined) throw new Error("a world without cables");
    const both = (kind: Path["kind"], cable = clear) => ({ toA: pathOver(kind, cable, a), toB: pathOver(kind, cable, b) });
    ways = { fastdp: both("fastdp"), wireguard: both("wireguard", inside), sleeve: both("sleeve") };
    for (const node of [a, b]) node.inside(() => node.datapath.setWireguard(node.ifindex("u2")));
    send("fastdp");
  });
  afterAll(async () => await mixed?.[Symbol.asyncDispose]());

  /** Both send this way and accept all of them. */
  function send(kind: Path["kind"]): void {
    for (const [node, other, end] of [
      [a, b, "toB"],
      [b, a, "toA"],
    ] as const) {
      const accept = Object.values(ways).map((way) => way[end]);
      node.apply({ ...planOf(mixed.world, node), neighbours: new Map([[other.id, entryOf(ways[kind][end], accept)]]) });
    }
  }

  for (const sent of ["fastdp", "wireguard", "sleeve"] as const) {
    for (const probed of ["fastdp", "wireguard", "sleeve"] as const) {
      test(`sent to by ${sent}: a probe by ${probed} is answered by the same way, whole`, async () => {
        send(sent);
        using taps = new Taps(b);
        const carried = mixed.cable.probes;
        const sizes = probed === "sleeve" ? [22, 1_400, 16_000] : [22, 1_400];
        for (const bytes of sizes) {
          const sequence = ++probes;
          a.inside(() => a.datapath.probe(b.id, ways[probed].toB, sequence, bytes));
          const { found } = await waitFor("the reply", () => [...a.datapath.probeReplies()][0]);
          expect(found).toMatchObject({ neighbour: b.id, sequence, bytes });
        }
        const twice = 2 * sizes.length;
        expect({ clear: taps.probes("u1"), inside: taps.probes("u2"), sleeve: mixed.cable.probes - carried }).toEqual({
          clear: probed === "fastdp" ? twice : 0,
          inside: probed === "wireguard" ? twice : 0,
          sleeve: probed === "sleeve" ? twice : 0,
        });
      });
    }
  }

  test("changes them under traffic in any order without a loss or a double", async () => {
    const [from, to] = [mixed.world.guest("a"), mixed.world.guest("b")];
    send("sleeve");
    expect(ping(from, to.address).received).toBe(3);
    const steady = new SteadyPing(from, to.address);
    for (const kind of ["fastdp", "sleeve", "wireguard", "sleeve", "fastdp", "wireguard", "fastdp"] as const) {
      const before = a.datapath.activity(b.id).received;
      send(kind);
      await waitFor("traffic that way", () => a.datapath.activity(b.id).received > before + 20);
    }
    const { sent, received, duplicates } = await steady.stop();
    expect(sent).toBeGreaterThan(100);
    expect({ received, duplicates }).toEqual({ received: sent, duplicates: 0 });
  });

  test("keeps them, and what it accepts, when another daemon takes over, without a loss inside WireGuard", async () => {
    const [from, to] = [mixed.world.guest("a"), mixed.world.guest("b")];
    for (const kind of ["sleeve", "wireguard"] as const) {
      send(kind);
      expect(ping(from, to.address).received).toBe(3);
      const plans = [a, b].map((node) => node.inside(() => node.datapath.read()));
      expect(plans[0]?.neighbours.get(b.id)?.send).toEqual(ways[kind].toB);
      expect(new Set(plans[0]?.neighbours.get(b.id)?.accept)).toEqual(new Set(Object.values(ways).map(({ toB }) => toB)));
      const steady = new SteadyPing(from, to.address);
      for (let round = 0; round < 5; round++) {
        for (const node of [a, b]) {
          const before = a.datapath.activity(b.id).received;
          node.open(); // which has not been told of WireGuard
          await waitFor("traffic", () => a.datapath.activity(b.id).received > before + 5);
        }
      }
      const { sent, received } = await steady.stop();
      expect(received).toBe(sent);
      expect([a, b].map((node, i) => node.apply(plans[i]!))).toEqual([0, 0]); // both were read
      for (const node of [a, b]) node.inside(() => node.datapath.setWireguard(node.ifindex("u2")));
    }
  });

  test("that is sent to by none is accepted from and answered, and nothing else goes to it", async () => {
    const accept = Object.values(ways).map(({ toB }) => toB);
    const plan = planOf(mixed.world, a);
    const floods = new Map([...plan.floods].map(([source, { parent }]) => [source, { parent, hops: [] }] as const));
    a.apply({
      ...plan,
      floods,
      nextHops: new Map(),
      neighbours: new Map([[b.id, { ...entryOf(ways.sleeve.toB, accept), send: undefined }]]),
    });
    for (const kind of ["fastdp", "wireguard", "sleeve"] as const) {
      b.inside(() => b.datapath.probe(a.id, ways[kind].toA, ++probes));
      await waitFor(`a reply by ${kind}`, () => [...b.datapath.probeReplies()].length === 1);
    }
    const before = a.datapath.activity(b.id).sent;
    ping(mixed.world.guest("a"), mixed.world.guest("b").address, "-c", "2", "-i", "0.01", "-W", "0.1");
    expect(a.datapath.activity(b.id).sent).toBe(before);
  });
});

/** What passes a host's underlay devices. */
class Taps implements Disposable {
  readonly #sockets: ReadonlyMap<string, FrameSocket>;

  constructor(node: Node) {
    this.#sockets = new Map(["u1", "u2"].map((device) => [device, new FrameSocket(netnsPath(node.netns), device, "both")]));
  }
  /** Probes and answers seen there. */
  probes(device: string): number {
    const magic = Buffer.from([0x02, 0x77, 0x76, 0x70]);
    return (
      this.#sockets
        .get(device)
        ?.drain()
        .filter((frame) => Buffer.from(frame).includes(magic)).length ?? 0
    );
  }
  [Symbol.dispose](): void {
    for (const socket of this.#sockets.values()) socket[Symbol.dispose]();
  }
}
