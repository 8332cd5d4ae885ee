// SPDX-License-Identifier: Apache-2.0
// Every group frame reaches every container exactly once, known unicast only its addressee: in every shape, past the bridge and over it, with
// the object for today's kernels and with the one for old ones.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { waitFor } from "../../support/wait.ts";
import { ping } from "./ping.ts";
import { planOf } from "./plans.ts";
import { inRounds, sendToEach, sendToGroups, Tally } from "./tally.ts";
import { World, type WorldOptions } from "./world.ts";

const SHAPES = {
  chain: [
    ["a", "b"],
    ["b", "c"],
    ["c", "d"],
  ],
  ring: [
    ["a", "b"],
    ["b", "c"],
    ["c", "d"],
    ["d", "a"],
  ],
  star: [
    ["a", "b"],
    ["a", "c"],
    ["a", "d"],
  ],
  "full mesh": [
    ["a", "b"],
    ["a", "c"],
    ["a", "d"],
    ["b", "c"],
    ["b", "d"],
    ["c", "d"],
  ],
} as const satisfies Record<string, WorldOptions["cables"]>;

const VARIANTS = {
  "full object": { object: "full", attach: "tcx", bypass: true },
  "full object over the bridge": { object: "full", attach: "tcx", bypass: false },
  "small object": { object: "small", attach: "tcx", bypass: true },
  "small object over the bridge, classic tc": { object: "small", attach: "tc", bypass: false },
  "full object, classic tc": { object: "full", attach: "tc", bypass: true },
} as const;

// The variants replace each other on living hosts, so that also what one leaves to the next is seen.
for (const [shape, cables] of Object.entries(SHAPES)) {
  describe(`${shape} of four hosts`, () => {
    let world: World;
    beforeAll(() => {
      world = new World({ cables });
      world.node("b").addGuest();
    });
    afterAll(() => world[Symbol.dispose]());
    for (const [variant, { object, attach, bypass }] of Object.entries(VARIANTS)) {
      test(`${variant}: groups once everywhere, known unicast to the addressee only`, async () => {
        for (const node of world.nodes.values()) node.open({ bypass }, { object, attach });
        const kinds = new Set([...world.nodes.values()].map(({ datapath: { kind } }) => `${kind.object} ${kind.attach}`));
        expect([...kinds]).toEqual([`${object} ${attach}`]);
        using tally = new Tally(world);
        expect(await inRounds(tally, 5, sendToGroups)).toEqual([]);
        expect(await inRounds(tally, 5, sendToEach)).toEqual([]);
      });
    }
  });
}

describe("neighbours over IPv6", () => {
  for (const ipv6 of ["all", "every-second"] as const) {
    test(`${ipv6 === "all" ? "all of them" : "mixed with IPv4"} in a ring: the same`, async () => {
      using world = new World({ cables: SHAPES.ring, ipv6 });
      using tally = new Tally(world);
      await inRounds(tally, 5, sendToGroups);
      expect(await inRounds(tally, 1, sendToEach)).toEqual([]);
      expect(await inRounds(tally, 5, sendToEach)).toEqual([]);
    });
  }
});

test("while routes change between a ring and a chain no frame is doubled, and none is lost afterwards", async () => {
  using world = new World({ cables: SHAPES.ring });
  using tally = new Tally(world);
  expect(await inRounds(tally, 1, sendToGroups)).toEqual([]);
  const cut = [world.cable("a", "d")];
  using during = new Tally(world);
  for (let i = 0; i < 10; i++) {
    sendToGroups(during);
    world.applyPlans(i % 2 === 0 ? cut : []);
  }
  const faults = await during.faults(500);
  expect(faults.filter((fault) => !fault.includes(": 0 instead of 1"))).toEqual([]);
  world.applyPlans(cut);
  await waitFor("every tree to be used again", async () => {
    using groups = new Tally(world);
    return (await inRounds(groups, 1, sendToGroups)).length === 0;
  });
  using after = new Tally(world);
  expect(await inRounds(after, 3, sendToEach)).toEqual([]);
});

test("a neighbour with another data port is left out with its routes and trees, and nothing is sent to it", () => {
  using world = new World({ cables: SHAPES.chain });
  const a = world.node("a");
  const plan = planOf(world, a);
  const b = world.node("b").id;
  const moved = new Map([...plan.neighbours].map(([id, neighbour]) => [id, { ...neighbour, dataPort: 7000 }]));
  a.apply({ ...plan, neighbours: moved });
  const held = a.inside(() => a.datapath.read());
  expect(held?.neighbours.size).toBe(0);
  expect(held?.nextHops.size).toBe(0);
  expect([...(held?.floods ?? [])]).toEqual([[a.id, { parent: 0, hops: [] }]]);
  const before = a.datapath.activity(b).sent;
  ping(world.guest("a"), world.guest("b").address, "-c", "2", "-i", "0.01", "-W", "0.1");
  expect(a.datapath.activity(b).sent).toBe(before);
  expect(a.apply(plan)).toBeGreaterThan(0);
  expect(ping(world.guest("a"), world.guest("b").address).received).toBe(3);
});
