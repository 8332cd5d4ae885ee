// SPDX-License-Identifier: Apache-2.0
// Who is refused, that both ends are told why, and that nobody else notices.
import { describe, expect, test } from "bun:test";
import { establishedNeighbours, faults, isFullMesh, seeEachOther } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { meshAtRest, meshOfPairs, SEEDS } from "./harness/setups.ts";
import { World } from "./harness/world.ts";

function reasons(host: SimHost): string {
  const view = host.mesh!.view();
  return [...view.connections.map((connection) => connection.reason), ...view.warnings].join("\n");
}

describe("a peer that dials itself", () => {
  test("gives the target up for good, and again when asked again", () => {
    const { world, hosts } = meshAtRest(2, 1);
    hosts[0]!.mesh!.connect([hosts[0]!.address]);
    world.run(200_000);
    const own = hosts[0]!.mesh!.view().connections.find((connection) => connection.address === hosts[0]!.address);
    expect(own?.reason).toBe("cannot connect to ourself");
    expect(own?.retryAtMs).toBeUndefined();
    expect(faults(world)).toEqual([]);
  });
});

describe("two keys with one name", () => {
  for (const seed of SEEDS.slice(0, 4)) {
    test(`the later one is refused and both see the collision (seed ${seed})`, () => {
      const { world, hosts } = meshAtRest(5, seed);
      const before = hosts.map((host) => host.routeChanges);
      const twin = world.addHost({ name: hosts[3]!.name, nickname: "twin" });
      twin.start([hosts[0]!.ip]);
      world.run(10_000);
      expect(reasons(twin)).toContain("peer names collision");
      expect(reasons(twin)).toContain(hosts[3]!.ip);
      expect(reasons(hosts[3]!)).toContain(twin.ip);
      expect(reasons(hosts[0]!)).toContain("peer names collision");
      expect(hosts.map((host) => host.routeChanges)).toEqual(before);
      const attempt = twin.mesh!.view().connections.find((connection) => connection.address === hosts[0]!.ip);
      expect(attempt?.retryAtMs).toBeDefined(); // the other one may go, and that is not told to who was refused
      expect(isFullMesh(hosts)).toBe(true);
    });
  }

  test("who was refused comes in by itself when the other one has gone", () => {
    const { world, hosts } = meshAtRest(4, 2);
    const twin = world.addHost({ name: hosts[3]!.name, nickname: "twin" });
    twin.start([hosts[0]!.ip]);
    world.run(10_000);
    expect(reasons(twin)).toContain("peer names collision");
    hosts[3]!.stop("leaving");
    world.runUntil(() => isFullMesh([hosts[0]!, hosts[1]!, hosts[2]!, twin]), 70_000, "with the twin");
  });

  test("the name is free again once its owner is gone", () => {
    const { world, hosts } = meshAtRest(4, 2);
    hosts[3]!.stop("leaving");
    world.run(1000);
    const heir = world.addHost({ name: hosts[3]!.name, nickname: "heir" });
    heir.start([hosts[0]!.ip]);
    const now = [hosts[0]!, hosts[1]!, hosts[2]!, heir];
    world.runUntil(() => isFullMesh(now), 5000, "with the heir");
    world.run(10_000);
    expect(faults(world, now)).toEqual([]);
  });
});

describe("a cloned identity", () => {
  for (const seed of SEEDS.slice(0, 4)) {
    test(`is refused at a neighbour of the original, both are told both addresses (seed ${seed})`, () => {
      const { world, hosts } = meshAtRest(5, seed);
      const before = hosts.map((host) => host.routeChanges);
      const original = hosts[2]!;
      const clone = world.addHost({ name: original.name, publicKey: original.options.publicKey, nickname: "clone" });
      clone.start([hosts[4]!.ip]);
      world.run(10_000);
      for (const host of [clone, original, hosts[4]!]) {
        expect(reasons(host)).toContain("cloned identity");
        expect(reasons(host)).toContain(clone.ip);
        expect(reasons(host)).toContain(original.ip);
      }
      expect(hosts.map((host) => host.routeChanges)).toEqual(before);
      expect(seeEachOther(hosts)).toBe(true);
    });
  }

  test("is refused at a peer that is no neighbour of the original", () => {
    const { world, hosts } = meshOfPairs(
      5,
      Array.from({ length: 4 }, (_, i) => [i, i + 1] as const),
      3,
    );
    world.runUntil(() => seeEachOther(hosts), 5000, "a chain");
    world.run(3000);
    const clone = world.addHost({ name: hosts[0]!.name, publicKey: hosts[0]!.options.publicKey, nickname: "clone" });
    clone.start([hosts[4]!.ip]);
    world.run(10_000);
    expect(reasons(clone)).toContain("cloned identity");
    expect(reasons(hosts[0]!)).toContain(clone.ip);
    expect(faults(world, hosts)).toEqual([]);
  });

  test("is noticed by both when two meshes that hold one each are joined", () => {
    const { world, hosts } = meshOfPairs(
      6,
      [
        [0, 1],
        [1, 2],
        [3, 4],
        [4, 5],
      ],
      3,
    );
    const [original, other] = [hosts[0]!, hosts[5]!];
    world.run(3000);
    const clone = world.addHost({
      name: original.name,
      publicKey: original.options.publicKey,
      nickname: "clone",
      discovery: false,
    });
    clone.start([other.address]);
    world.run(3000);
    expect(establishedNeighbours(clone).size).toBe(1);
    hosts[2]!.mesh!.connect([hosts[3]!.address]);
    world.run(60_000);
    for (const host of [original, clone]) expect(reasons(host)).toContain("cloned identity");
    const before = world.network.totalBytes;
    world.run(60_000);
    expect((world.network.totalBytes - before) / 60 / 7).toBeLessThan(1000); // they do not bid each other up without end
  });

  test("is not suspected when a peer restarts, moves to another address, or comes back after its host died", () => {
    const { world, hosts } = meshAtRest(5, 4);
    hosts[1]!.kill();
    world.run(3000);
    hosts[1]!.start([hosts[0]!.ip]);
    world.run(10_000);
    hosts[2]!.powerOff();
    world.run(400);
    hosts[2]!.powerOn();
    hosts[2]!.start([hosts[0]!.ip]);
    world.run(30_000);
    hosts[3]!.powerOff();
    const moved = world.addHost({ name: hosts[3]!.name, publicKey: hosts[3]!.options.publicKey, nickname: "moved" });
    moved.start([hosts[0]!.ip]);
    world.run(30_000);
    for (const host of [hosts[0]!, hosts[1]!, hosts[2]!, hosts[4]!, moved]) expect(host.mesh!.view().warnings).toEqual([]);
    expect(isFullMesh([hosts[0]!, hosts[1]!, hosts[2]!, hosts[4]!, moved])).toBe(true);
  });
});

describe("a revoked key", () => {
  test("is thrown out and refused everywhere, also by those who were away", () => {
    for (const seed of SEEDS.slice(0, 4)) {
      const { world, hosts } = meshAtRest(6, seed);
      const [revoked, away] = [hosts[2]!, hosts[5]!];
      away.kill();
      world.run(1000);
      hosts[0]!.mesh!.revoke(revoked.options.publicKey.toHex());
      const rest = hosts.filter((host) => host !== revoked && host !== away);
      world.runUntil(() => rest.every((host) => !host.routes?.unicast.has(revoked.name)), 2000, "thrown out");
      away.start([hosts[1]!.ip], { restored: true });
      world.run(40_000);
      expect(isFullMesh([...rest, away])).toBe(true);
      expect(reasons(revoked)).toContain("revoked");
      expect(away.mesh!.view().revoked).toEqual([revoked.options.publicKey.toHex()]);
    }
  });
});

describe("a connection limit", () => {
  test("refuses on both ends with the reason", () => {
    const world = new World(1);
    const hosts = world.addHosts(3, { connectionLimit: 2, discovery: false });
    for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
    world.run(2000);
    const late = world.addHost({ discovery: false });
    late.start([hosts[0]!.ip]);
    world.run(5000);
    expect(reasons(late).trim()).toBe("Connection limit reached (2)");
    expect(seeEachOther(hosts)).toBe(true);
  });

  test("lets 100 in at once who all know the same full peer", () => {
    const world = new World(2);
    const hosts = world.addHosts(100, { connectionLimit: 10 });
    for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
    world.runUntil(() => seeEachOther(hosts), 5000, "connected");
    expect(Math.max(...hosts.map((host) => establishedNeighbours(host).size))).toBeLessThanOrEqual(10);
  });

  test("leaves nobody alone whose neighbours all died", () => {
    for (const seed of SEEDS.slice(0, 4)) {
      const world = new World(seed);
      const hosts = world.addHosts(40, { connectionLimit: 8 });
      for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
      world.runUntil(() => seeEachOther(hosts), 5000, "connected");
      world.run(10_000);
      const alone = hosts[7]!;
      const neighbours = establishedNeighbours(alone);
      const rest = hosts.filter((host) => !neighbours.has(host.name));
      for (const host of hosts) if (neighbours.has(host.name) || host === hosts[0]) host.powerOff();
      world.runUntil(() => seeEachOther(rest.filter((host) => host.mesh)), 15_000, "together");
    }
  });

  for (const limit of [3, 5, 8]) {
    test(`of ${limit} gives a connected mesh of 24 that does not churn`, () => {
      for (const seed of SEEDS.slice(0, 4)) {
        const world = new World(seed);
        const hosts = world.addHosts(24, { connectionLimit: limit });
        hosts[0]!.start();
        for (const host of hosts.slice(1)) {
          host.start([hosts[world.random.below(hosts.indexOf(host))]!.ip]);
          world.run(world.random.below(500));
        }
        world.runUntil(() => seeEachOther(hosts), 30_000, "connected");
        world.run(30_000);
        const before = hosts.map(establishedNeighbours);
        for (const neighbours of before) expect(neighbours.size).toBeLessThanOrEqual(limit);
        for (const neighbours of before) expect(neighbours.size).toBeGreaterThanOrEqual(2);
        world.run(120_000);
        expect(hosts.map(establishedNeighbours)).toEqual(before);
        expect(faults(world)).toEqual([]);
      }
    });
  }
});
