// SPDX-License-Identifier: Apache-2.0
// Worlds most simulations begin with.
import { isFullMesh } from "./checks.ts";
import type { HostOptions, SimHost } from "./host.ts";
import { World } from "./world.ts";

export interface Setup {
  readonly world: World;
  readonly hosts: SimHost[];
}

/** `count` hosts whose daemons know the first one, in a full mesh and at rest. */
export function meshAtRest(count: number, seed: number, options: Partial<HostOptions> = {}): Setup {
  const world = new World(seed);
  const hosts = world.addHosts(count, options);
  for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
  world.runUntil(() => isFullMesh(hosts), 5000, "a full mesh");
  world.run(3000 + world.random.below(3000));
  return { world, hosts };
}

/** Hosts connected along `pairs` of indexes only: no discovery. */
export function meshOfPairs(count: number, pairs: readonly (readonly [number, number])[], seed: number): Setup {
  const world = new World(seed);
  const hosts = world.addHosts(count, { discovery: false });
  hosts.forEach((host, index) => {
    const targets = pairs.filter(([from]) => from === index).map(([, to]) => hosts[to]!.address);
    host.start(targets);
  });
  return { world, hosts };
}

/** Runs `check` for each seed, naming it in the test. */
export const SEEDS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8];
