// SPDX-License-Identifier: Apache-2.0
// How meshes form: from one target, from all targets at once, in any order.
import { describe, expect, test } from "bun:test";
import { faults, isFullMesh } from "./harness/checks.ts";
import { World } from "./harness/world.ts";

describe("forming a mesh", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    test(`20 peers that know one of them form a full mesh in under 2 s (seed ${seed})`, () => {
      const world = new World(seed);
      const hosts = world.addHosts(20);
      for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
      world.runUntil(() => isFullMesh(hosts), 2000, "a full mesh");
      world.run(3000);
      expect(faults(world)).toEqual([]);
    });

    test(`20 peers that all dial each other at once form a full mesh in under 2 s (seed ${seed})`, () => {
      const world = new World(seed);
      const hosts = world.addHosts(20);
      const targets = hosts.map((host) => host.address);
      for (const host of hosts) host.start(targets.filter((target) => target !== host.address));
      world.runUntil(() => isFullMesh(hosts), 2000, "a full mesh");
      world.run(3000);
      expect(faults(world)).toEqual([]);
    });
  }
});
