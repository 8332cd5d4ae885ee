// SPDX-License-Identifier: Apache-2.0
// Names over a simulated mesh: known everywhere at once, hidden while their peer is away, gone with its life.
import { describe, expect, test } from "bun:test";
import { encodeDeltas } from "../../src/dns/codec.ts";
import type { Entry } from "../../src/dns/entry.ts";
import { parseName } from "../../src/dns/name.ts";
import { Names } from "../../src/dns/names.ts";
import type { Gossip } from "../../src/mesh/ports.ts";
import { type Ip, parseIp } from "../../src/net/ip.ts";
import { isFullMesh } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { meshAtRest, SEEDS } from "./harness/setups.ts";
import type { World } from "./harness/world.ts";

const entry = (name: string, address: string, container = name): Entry => ({
  name: `${name}.weave.local.`,
  container,
  address: parseIp(address) as Ip,
});

/** The names of one host over its lives: the journal stays. */
class NamedHost {
  readonly host: SimHost;
  stored: Entry[] = [];
  names!: Names;
  gossip!: Gossip;

  constructor(world: World, host: SimHost, wallOffsetMs = 0) {
    this.host = host;
    this.begin(world, wallOffsetMs);
  }

  begin(world: World, wallOffsetMs = 0): void {
    const { host } = this;
    this.names = new Names(host.name, {
      clock: {
        now: () => world.time.now(),
        wallMs: () => 1_767_225_600_000 + world.time.now() + wallOffsetMs,
        after: (delayMs, fire) => world.time.after(delayMs, fire),
      },
      journal: {
        names: () => this.stored,
        change: (added, removed) => {
          this.stored = [...this.stored.filter((one) => !removed.some((gone) => Bun.deepEquals(gone, one))), ...added];
        },
      },
      channel: (handler) => {
        this.gossip = host.mesh!.channel("names", handler);
        return this.gossip;
      },
    });
    this.look();
    this.names.start();
  }

  /** As the daemon does whenever routes change. */
  look(): void {
    this.names.setPeers(new Set(this.host.routes?.unicast.keys() ?? []));
  }
  resolves(name: string): number {
    this.look();
    return (this.names.directory.addresses(parseName(`${name}.weave.local`)!.key)?.a.length ?? 0) / 4; // bytes of an address
  }
}

function named(count: number, seed: number) {
  const { world, hosts } = meshAtRest(count, seed);
  const all = hosts.map((host) => new NamedHost(world, host));
  world.run(2000);
  return { world, hosts, all };
}

describe("names in a mesh", () => {
  test("are known everywhere within 100 ms, and their removal too", () => {
    const { world, all } = named(20, 1);
    all[3]!.names.change([entry("web", "10.32.0.1")]);
    world.run(100);
    expect(all.map((one) => one.resolves("web"))).toEqual(all.map(() => 1));
    all[3]!.names.remove({ container: "web" });
    world.run(100);
    expect(all.map((one) => one.resolves("web"))).toEqual(all.map(() => 0));
  });

  test("of a peer on the other side of a cut are hidden and come back; what changed meanwhile is right", () => {
    for (const seed of SEEDS.slice(0, 4)) {
      const { world, hosts, all } = named(6, seed);
      all[0]!.names.change([entry("stays", "10.32.0.1"), entry("goes", "10.32.0.2")]);
      world.run(100);
      expect(all[5]!.resolves("stays")).toBe(1);
      const left = new Set(hosts.slice(0, 3).map((host) => host.ip));
      const cut = world.network.cut((a, b) => left.has(a) !== left.has(b));
      world.run(20_000);
      expect(all.map((one) => one.resolves("stays"))).toEqual([1, 1, 1, 0, 0, 0]);
      all[0]!.names.remove({ container: "goes" });
      all[0]!.names.change([entry("new", "10.32.0.3")]);
      world.run(1000);
      cut.heal();
      world.runUntil(() => isFullMesh(hosts), 75_000, "healed");
      const isRight = (one: NamedHost): boolean =>
        one.resolves("stays") === 1 && one.resolves("goes") === 0 && one.resolves("new") === 1;
      world.runUntil(() => all.every(isRight), 10_000, "told everything");
    }
  });

  test("of an earlier life end with the next, whatever its clock says", () => {
    for (const wallOffsetMs of [0, -3600_000]) {
      const { world, hosts, all } = named(5, 7);
      all[2]!.names.change([entry("old", "10.32.0.1"), entry("kept", "10.32.0.2")]);
      world.run(100);
      expect(all[4]!.resolves("old")).toBe(1);
      all[2]!.names[Symbol.dispose]();
      hosts[2]!.kill();
      all[2]!.stored = [entry("kept", "10.32.0.2")]; // its container died with nobody looking
      hosts[2]!.start([hosts[0]!.ip], { restored: true });
      all[2]!.begin(world, wallOffsetMs);
      const others = all.filter((_, index) => index !== 2);
      world.runUntil(() => others.every((one) => one.resolves("old") === 0 && one.resolves("kept") === 1), 10_000, "replaced");
      world.run(60_000);
      expect(others.map((one) => [one.resolves("old"), one.resolves("kept")])).toEqual(others.map(() => [0, 1]));
    }
  });

  test("that another speaks in a peer's name are set right by that peer at once", () => {
    const { world, hosts, all } = named(8, 10);
    const [victim, forger] = [all[2]!, all[6]!];
    victim.names.change([entry("web", "10.32.0.1")]);
    world.run(1000);
    const isRight = () => all.every((one) => one.resolves("web") === 1 && one.resolves("forged") === 0);
    expect(isRight()).toBe(true);
    const forged = { entry: entry("forged", "10.32.0.66"), version: 5, removed: false };
    const gone = { entry: entry("web", "10.32.0.1"), version: 6, removed: true };
    const now = 1_767_225_600_000 + world.time.now();
    // In its present life, in a later one, and in one that will not come for a long time.
    for (const epoch of [1_767_225_600_000, now + 1000, 2 ** 50]) {
      const delta = { origin: hosts[2]!.name, epoch, from: 0, to: 6, floor: 0, changes: [forged, gone] };
      forger.gossip.broadcast(encodeDeltas([delta]));
      world.runUntil(isRight, 2000, `set right after ${epoch}`);
      world.run(5000);
      expect(isRight()).toBe(true);
    }
    victim.names.remove({ container: "web" });
    world.run(100);
    expect(all.map((one) => one.resolves("web"))).toEqual(all.map(() => 0));
  });

  test("of a peer that left are gone", () => {
    const { world, hosts, all } = named(5, 8);
    all[1]!.names.change([entry("web", "10.32.0.1")]);
    all[2]!.names.change([entry("web", "10.32.0.2")]);
    world.run(100);
    expect(all[0]!.resolves("web")).toBe(2);
    hosts[1]!.stop("leaving");
    world.run(3000);
    expect(all[0]!.resolves("web")).toBe(1);
  });

  test("come to a newcomer, also when there are many", () => {
    const { world, hosts, all } = named(3, 9);
    const many = Array.from({ length: 5000 }, (_, i) => entry(`n${i}`, `10.32.${i >> 8}.${i & 255}`));
    all[0]!.names.change(many);
    world.run(1000);
    const late = world.addHost();
    late.start([hosts[1]!.ip]);
    world.run(100);
    const newcomer = new NamedHost(world, late);
    world.runUntil(() => newcomer.names.list().length === many.length && newcomer.resolves("n4999") === 1, 30_000, "told all");
    expect(newcomer.resolves("n0")).toBe(1);
  });
});
