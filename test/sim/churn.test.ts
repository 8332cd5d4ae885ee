// SPDX-License-Identifier: Apache-2.0
// Everything at once, by chance: hosts start, die, restart, sleep, are cut off; datagrams get lost. Whatever happened, at rest the
// topology is the truth. A failing seed replays with SIM_SEED=n.
import { describe, expect, test } from "bun:test";
import { faults, isFullMesh, running } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { World } from "./harness/world.ts";

const SEEDS = process.env["SIM_SEED"] ? [Number(process.env["SIM_SEED"])] : Array.from({ length: 24 }, (_, i) => i + 1);

class Chaos {
  readonly world: World;
  readonly hosts: SimHost[];
  #heals: (() => void)[] = [];
  #asleep: SimHost[] = [];

  constructor(seed: number) {
    this.world = new World(seed);
    this.hosts = this.world.addHosts(6 + this.world.random.below(8));
  }

  #pick(): SimHost {
    return this.hosts[this.world.random.below(this.hosts.length)]!;
  }
  #targets(host: SimHost): string[] {
    return [this.#pick(), this.#pick()].filter((other) => other !== host).map((other) => other.ip);
  }

  step(): void {
    const { world } = this;
    const host = this.#pick();
    const chance = world.random.below(10);
    if (!host.mesh) this.#start(host);
    else if (chance === 0) host.powerOff();
    else if (chance === 1) host.kill();
    else if (chance === 2) host.stop(world.random.below(2) === 0 ? "leaving" : "restarting");
    else if (chance === 3) this.#sleep(host);
    else if (chance === 4) this.#cut();
    else if (chance === 5) this.#calm();
    else if (chance === 6) world.network.loss = world.random.below(3) / 10;
    world.run(world.random.below(chance < 8 ? 1500 : 15_000));
  }

  #start(host: SimHost): void {
    const wasOff = !host.isOn;
    host.powerOn();
    host.start(this.#targets(host), { restored: !wasOff && this.world.random.below(2) === 0 });
  }
  #sleep(host: SimHost): void {
    host.stall();
    this.#asleep.push(host);
  }
  #cut(): void {
    const left = new Set(this.hosts.filter(() => this.world.random.below(2) === 0).map((host) => host.ip));
    const cut = this.world.network.cut((a, b) => left.has(a) !== left.has(b));
    this.#heals.push(() => cut.heal());
  }
  #calm(): void {
    for (const heal of this.#heals) heal();
    for (const host of this.#asleep) host.resume();
    this.#heals = [];
    this.#asleep = [];
  }

  /** All is well again: everybody runs and knows the first one. */
  settle(): void {
    this.#calm();
    this.world.network.loss = 0;
    for (const host of this.hosts) if (!host.mesh) this.#start(host);
    for (const host of this.hosts.slice(1)) host.mesh!.connect([this.hosts[0]!.ip]);
  }
}

describe("chaos", () => {
  for (const seed of SEEDS) {
    test(`ends in a mesh that agrees with the truth (seed ${seed})`, () => {
      const chaos = new Chaos(seed);
      for (let i = 0; i < 60; i++) chaos.step();
      chaos.settle();
      const hosts = running(chaos.world);
      chaos.world.runUntil(() => isFullMesh(hosts), 90_000, "a full mesh", 100);
      chaos.world.run(40_000);
      expect(faults(chaos.world)).toEqual([]);
    });
  }
});
