// SPDX-License-Identifier: Apache-2.0
// Hosts that come and go leave nothing behind in those that stay, but for a short list of where they were.
import { expect, test } from "bun:test";
import { decodeMessage } from "../../src/mesh/codec.ts";
import { applyDelta } from "../../src/mesh/record.ts";
import { reachableObjects } from "../support/heap.ts";
import { range } from "../support/records.ts";
import { seeEachOther } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { World } from "./harness/world.ts";

/** Longer than anything is remembered of a peer that left: records 60 s, grace 5 min. */
const FORGOTTEN_MS = 400_000;

class Traffic {
  readonly world = new World(1);
  readonly residents: SimHost[];
  readonly #guests: SimHost[] = [];

  constructor() {
    // The world's own books of messages and records would grow.
    Object.assign(this.world, { keepLogs: false, wire: { decode: decodeMessage, applyDelta } });
    this.residents = this.world.addHosts(10);
    for (const host of this.residents) host.start(host === this.residents[0] ? [] : [this.residents[0]!.ip]);
    this.world.run(5000);
  }

  comeAndGo(): void {
    const { world } = this;
    const guest = world.addHost();
    guest.start([this.residents[world.random.below(this.residents.length)]!.ip]);
    this.#guests.push(guest);
    world.run(100 + world.random.below(400));
    if (this.#guests.length > 3) this.#dismiss();
  }
  #dismiss(): void {
    const guest = this.#guests.shift()!; // there is one
    const how = this.world.random.below(3);
    if (how === 0) guest.stop("leaving");
    else if (how === 1) guest.kill();
    guest.powerOff();
    guest.saved = undefined;
    guest.routes = undefined;
    this.world.hosts.splice(this.world.hosts.indexOf(guest), 1);
  }

  /** What is held once all guests are forgotten. */
  rest(): { maps: number; sets: number; objects: number } {
    while (this.#guests.length > 0) this.#dismiss();
    this.world.run(FORGOTTEN_MS);
    const held = reachableObjects();
    return { maps: held.get("Map") ?? 0, sets: held.get("Set") ?? 0, objects: held.get("Object") ?? 0 };
  }
}

/** Held by the module: what only the stack holds has no way to it. */
let traffic: Traffic | undefined;

test("forty guests leave no maps behind, and of objects no more than the list of former neighbours", () => {
  traffic = new Traffic();
  for (const _ of range(0, 10)) traffic.comeAndGo();
  const before = traffic.rest();
  for (const _ of range(0, 40)) traffic.comeAndGo();
  const after = traffic.rest();
  expect(before.maps).toBeGreaterThan(100); // the residents' own were counted
  expect(seeEachOther(traffic.residents)).toBe(true);
  expect(after.maps - before.maps).toBeLessThan(25);
  expect(after.sets - before.sets).toBeLessThan(25);
  expect(after.objects - before.objects).toBeLessThan(10 * 40 * 8);
}, 30_000);
