// SPDX-License-Identifier: Apache-2.0
// Dead peers are noticed in under 3 s, by all, also when nothing flows; healthy ones are never taken for dead.
import { describe, expect, test } from "bun:test";
import { faults, seeEachOther } from "./harness/checks.ts";
import { meshAtRest, SEEDS } from "./harness/setups.ts";

function routeChanges(hosts: readonly { routeChanges: number }[]): number {
  return hosts.reduce((sum, host) => sum + host.routeChanges, 0);
}

describe("a host that vanishes", () => {
  for (const peers of [2, 3, 20]) {
    for (const seed of SEEDS) {
      test(`is out of all routes in under 3 s, ${peers} peers, idle (seed ${seed})`, () => {
        const { world, hosts } = meshAtRest(peers, seed);
        const victim = hosts[world.random.below(peers)]!;
        victim.powerOff();
        const rest = hosts.filter((host) => host !== victim);
        world.runUntil(() => seeEachOther(rest), 3000, "noticed");
        world.run(8000);
        expect(faults(world)).toEqual([]);
      });
    }
  }

  test("is noticed in under 3 s with a tenth of all datagrams lost", () => {
    for (const seed of SEEDS) {
      const { world, hosts } = meshAtRest(10, seed);
      world.network.loss = 0.1;
      const victim = hosts[world.random.below(10)]!;
      victim.powerOff();
      world.runUntil(() => seeEachOther(hosts.filter((host) => host !== victim)), 3300, "noticed");
    }
  });

  test("comes back and is connected again within a few seconds", () => {
    const { world, hosts } = meshAtRest(8, 3);
    hosts[4]!.powerOff();
    world.run(10_000);
    hosts[4]!.powerOn();
    hosts[4]!.start([hosts[0]!.ip]);
    world.runUntil(() => seeEachOther(hosts), 5000, "back");
    world.run(8000);
    expect(faults(world)).toEqual([]);
  });
});

describe("a healthy peer", () => {
  for (const seed of SEEDS.slice(0, 3)) {
    test(`is not taken for dead in ten minutes with a tenth of all datagrams lost, doubled or overtaken (seed ${seed})`, () => {
      const { world, hosts } = meshAtRest(20, seed);
      world.network.loss = 0.1;
      world.network.duplication = 0.05;
      world.network.jitterMs = 5;
      const before = routeChanges(hosts);
      world.run(600_000);
      expect(routeChanges(hosts)).toBe(before);
      expect(faults(world)).toEqual([]);
    });
  }

  for (const stallMs of [300, 900, 2000, 10_000, 120_000]) {
    test(`is not taken for dead by one that slept ${stallMs} ms, nor is the sleeper by others`, () => {
      for (const seed of SEEDS.slice(0, 4)) {
        const { world, hosts } = meshAtRest(8, seed);
        const before = routeChanges(hosts);
        for (let i = 0; i < 4; i++) {
          hosts[i]!.stall();
          world.run(stallMs);
          hosts[i]!.resume();
          world.run(2000 + world.random.below(1500));
        }
        expect(routeChanges(hosts)).toBe(before);
      }
    });
  }

  test("is not taken for dead while another one really is", () => {
    const { world, hosts } = meshAtRest(8, 5);
    hosts[2]!.stall();
    hosts[3]!.powerOff();
    world.run(10_000);
    hosts[2]!.resume();
    world.run(10_000);
    expect(seeEachOther(hosts.filter((host) => host !== hosts[3]))).toBe(true);
    expect(faults(world)).toEqual([]);
  });
});
