// SPDX-License-Identifier: Apache-2.0
// A daemon that goes away and comes back costs nobody a route: neither its neighbours nor, with its saved state, itself.
import { describe, expect, test } from "bun:test";
import { faults, isFullMesh, seeEachOther } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { meshAtRest, meshOfPairs, SEEDS } from "./harness/setups.ts";

describe("a daemon that comes back with its state", () => {
  for (const how of ["kill", "stop"] as const) {
    for (const seed of SEEDS.slice(0, 4)) {
      test(`changes no route anywhere after ${how} (seed ${seed})`, () => {
        const { world, hosts } = meshAtRest(10, seed);
        const victim = hosts[world.random.below(10)]!;
        const before = hosts.map((host) => host.routeChanges);
        const own = victim.routes;
        if (how === "kill") victim.kill();
        else victim.stop("restarting");
        world.run(100 + world.random.below(30_000));
        victim.start([hosts[0]!.ip], { restored: true });
        expect(victim.routes).toEqual(own!);
        world.run(20_000);
        expect(hosts.map((host) => host.routeChanges - (host === victim ? 1 : 0))).toEqual(before);
        expect(faults(world)).toEqual([]);
      });
    }
  }

  test("changes no route in a chain that only it holds together", () => {
    const chain = [
      [0, 1],
      [1, 2],
      [2, 3],
    ] as const;
    for (const seed of SEEDS.slice(0, 4)) {
      const { world, hosts } = meshOfPairs(4, chain, seed);
      world.runUntil(() => seeEachOther(hosts), 3000, "a chain");
      world.run(5000);
      const before = hosts.map((host) => host.routeChanges);
      hosts[1]!.kill();
      world.run(5000);
      hosts[1]!.start([hosts[2]!.address], { restored: true });
      world.run(10_000);
      expect(hosts.map((host, index) => host.routeChanges - (index === 1 ? 1 : 0))).toEqual(before);
      expect(faults(world)).toEqual([]);
    }
  });

  test("is kept while every other daemon restarts too", () => {
    const { world, hosts } = meshAtRest(6, 4);
    const routes = hosts.map((host) => host.routes!);
    for (const host of hosts) host.kill();
    world.run(3000);
    for (const host of hosts) {
      host.start([], { restored: true });
      world.run(world.random.below(300));
    }
    world.run(15_000);
    expect(hosts.map((host) => host.routes!)).toEqual(routes);
    expect(faults(world)).toEqual([]);
  });

  test("drops neighbours that died while it was away", () => {
    const { world, hosts } = meshAtRest(5, 6);
    hosts[0]!.kill();
    world.run(200);
    hosts[3]!.powerOff();
    world.run(5000);
    hosts[0]!.start([], { restored: true });
    const rest = hosts.filter((host) => host !== hosts[3]);
    world.runUntil(() => seeEachOther(rest), 3000, "without the dead one");
    world.run(8000);
    expect(faults(world)).toEqual([]);
  });
});

describe("a daemon that comes back with nothing", () => {
  for (const seed of SEEDS) {
    test(`is in the full mesh again within 5 s (seed ${seed})`, () => {
      const { world, hosts } = meshAtRest(10, seed);
      const victim = hosts[world.random.below(10)]!;
      victim.kill();
      world.run(1000 + world.random.below(10_000));
      victim.start(victim === hosts[0] ? [] : [hosts[0]!.ip]);
      world.runUntil(() => isFullMesh(hosts), 5000, "a full mesh");
      world.run(10_000);
      expect(faults(world)).toEqual([]);
    });
  }
});

describe("a daemon that does not come back", () => {
  test("is dropped after five minutes although its kernel answers", () => {
    const { world, hosts } = meshAtRest(4, 2);
    hosts[1]!.kill();
    const rest = hosts.filter((host) => host !== hosts[1]);
    world.run(290_000);
    expect(seeEachOther(hosts.filter((host) => host.mesh))).toBe(false);
    world.run(15_000);
    expect(seeEachOther(rest)).toBe(true);
  });

  test("is dropped at once when it said that it leaves", () => {
    const { world, hosts } = meshAtRest(4, 2);
    hosts[1]!.stop("leaving");
    const rest = hosts.filter((host) => host !== hosts[1]);
    world.runUntil(() => seeEachOther(rest), 200, "dropped");
    world.run(2000);
    expect(faults(world)).toEqual([]);
  });
});

describe("a password that is set while the daemon runs", () => {
  test("ends connections made without one, on both ends at once, and has them tried again", () => {
    const { world, hosts } = meshAtRest(4, 3);
    const [first, ...rest] = hosts as [SimHost, ...SimHost[]];
    first.mesh!.passwordRequired();
    expect([...first.paths.keys()]).toEqual([]);
    world.runUntil(() => rest.every((host) => !host.paths.has(first.name)), 200, "data paths closed on the others too");
    world.runUntil(() => seeEachOther(hosts), 3_000, "together again, as the simulation's handshakes allow it");
    world.run(2_000);
    expect(faults(world)).toEqual([]);
  });
});

describe("a daemon that comes back with a password it did not have", () => {
  test("opens no data path to neighbours of the time before", () => {
    const host = meshAtRest(4, 1).hosts[0]!;
    host.stop("restarting");
    host.paths.clear(); // what its new life opens is to be seen
    host.start([], { restored: true, passwordSet: true });
    expect([...host.paths.keys()]).toEqual([]);
    expect(host.routes?.unicast.size).toBe(0);
  });
});
