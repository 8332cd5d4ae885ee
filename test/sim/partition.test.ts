// SPDX-License-Identifier: Apache-2.0
// Parts of a mesh that cannot reach each other go on, and find together again by themselves.
import { describe, expect, test } from "bun:test";
import { faults, isFullMesh, seeEachOther } from "./harness/checks.ts";
import { meshAtRest, meshOfPairs, SEEDS } from "./harness/setups.ts";

describe("a partition", () => {
  for (const seed of SEEDS) {
    for (const minutes of [0.2, 3]) {
      test(`of ${minutes} minutes leaves both sides working and heals (seed ${seed})`, () => {
        const { world, hosts } = meshAtRest(12, seed);
        const left = new Set(hosts.filter(() => world.random.below(2) === 0).map((host) => host.ip));
        const cut = world.network.cut((a, b) => left.has(a) !== left.has(b));
        const sides = [hosts.filter((host) => left.has(host.ip)), hosts.filter((host) => !left.has(host.ip))];
        for (const side of sides) world.runUntil(() => seeEachOther(side), 8000, "one side");
        world.run(minutes * 60_000);
        for (const side of sides) expect(seeEachOther(side)).toBe(true);
        cut.heal();
        world.runUntil(() => isFullMesh(hosts), 75_000, "healed");
        world.run(20_000);
        expect(faults(world)).toEqual([]);
      });
    }
  }

  test("of one connection is routed around in under 3 s and taken back", () => {
    for (const seed of SEEDS) {
      const { world, hosts } = meshAtRest(6, seed);
      const [a, b] = [hosts[2]!, hosts[4]!];
      a.paths.get(b.name)!.hasFrames = true;
      const cut = world.network.cut((from, to) => from === a.ip && to === b.ip);
      for (let i = 0; i < 20; i++) world.time.after(100 * i, () => a.paths.get(b.name) && a.paths.get(b.name)!.sent++);
      world.runUntil(() => a.routes?.unicast.get(b.name) !== b.name && b.routes?.unicast.get(a.name) !== a.name, 3000, "avoided");
      expect(seeEachOther(hosts)).toBe(true);
      world.run(60_000);
      cut.heal();
      world.runUntil(() => isFullMesh(hosts), 75_000, "taken back");
      world.run(10_000);
      expect(faults(world)).toEqual([]);
    }
  });
});

describe("a host whose cable is away for a moment, twice", () => {
  for (const seed of SEEDS) {
    test(`is taken back once: what was said meanwhile and comes late moves no route again (seed ${seed})`, () => {
      const { world, hosts } = meshAtRest(4, seed);
      for (const host of hosts.slice(1, 3)) {
        for (const awayMs of [1_500, 300]) {
          const cut = world.network.cut((from, to) => from === host.ip || to === host.ip);
          world.run(awayMs);
          cut.heal();
          world.run(300);
        }
      }
      world.runUntil(() => isFullMesh(hosts), 5_000, "healed");
      world.run(500);
      expect(isFullMesh(hosts)).toBe(true);
      const before = hosts.map((host) => host.routeChanges);
      world.run(20_000);
      expect(hosts.map((host) => host.routeChanges)).toEqual(before);
      expect(faults(world)).toEqual([]);
    });
  }
});

describe("a mesh without discovery", () => {
  const ring = Array.from({ length: 8 }, (_, i) => [i, (i + 1) % 8] as const);
  const star = Array.from({ length: 7 }, (_, i) => [i + 1, 0] as const);
  const chain = ring.slice(0, 7);
  for (const [shape, pairs] of Object.entries({ ring, star, chain })) {
    test(`routes and floods over a ${shape}`, () => {
      for (const seed of SEEDS.slice(0, 4)) {
        const { world, hosts } = meshOfPairs(8, pairs, seed);
        world.runUntil(() => seeEachOther(hosts), 3000, `a ${shape}`);
        world.run(5000);
        expect(faults(world)).toEqual([]);
      }
    });
  }

  test("routes around a cut in a ring", () => {
    const { world, hosts } = meshOfPairs(8, ring, 3);
    world.runUntil(() => seeEachOther(hosts), 3000, "a ring");
    world.run(3000);
    world.network.cut((a, b) => a === hosts[0]!.ip && b === hosts[1]!.ip);
    const next = hosts[1]!.name;
    world.runUntil(() => seeEachOther(hosts) && hosts[0]!.routes?.unicast.get(next) === hosts[7]!.name, 3500, "around");
    world.run(10_000);
    expect(faults(world)).toEqual([]);
  });
});
