// SPDX-License-Identifier: Apache-2.0
// Three hosts' spaces under any sequence of steps, with news that travel late, twice and out of order. After every step each is as it should be, and as
// long as nobody is taken for dead no address is given out twice. When all news have arrived all hold the same ring; what two have in use is reported
// by all but one of them.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Lease } from "../../src/ipam/lease.ts";
import { foundRing, type Segments } from "../../src/ipam/ring.ts";
import { Space } from "../../src/ipam/space.ts";
import { peerName } from "../support/records.ts";

const SIZE = 12;
const range = { start: 0, end: SIZE };
const PEERS = [1, 2, 3].map(peerName);

const peer = fc.nat(PEERS.length - 1);
const owner = fc.constantFrom("a", "b", "c", "d");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("allocate" as const), at: peer, owner, resting: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("claim" as const), at: peer, owner, address: fc.nat(SIZE - 1) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), at: peer, pick: fc.nat(20) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("donate" as const), at: peer, to: peer, resting: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("transfer" as const), at: peer, from: peer }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("tidy" as const), at: peer, there: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("deliver" as const), at: peer, pick: fc.nat(50) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), at: peer, ms: fc.constantFrom(10_000, 40_000) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

class Hosts {
  now = 0;
  /** Everything that was ever told, for each to receive in any order. */
  readonly told: Segments[] = [];
  readonly spaces: readonly Space[];

  constructor() {
    const clock = { now: () => this.now, wallMs: () => this.now, after: () => ({ [Symbol.dispose]: () => {} }) };
    const options = { range, quarantineMs: 30_000, mayReturn: ({ owner: before }: Lease) => before === "a" };
    this.spaces = PEERS.map((self) => new Space({ ...options, self }, clock, { leases: [], freed: [] }));
    for (const space of this.spaces) space.merge(foundRing(range, PEERS));
  }

  tell(delta: Segments): void {
    if (delta.length > 0) this.told.push(delta);
  }

  take(one: Step): void {
    const space = this.spaces[one.at]!;
    const lease = { prefixLength: 28, family: "v4", via: "api" } as const;
    switch (one.do) {
      case "allocate":
        space.allocate({ ...lease, owner: one.owner }, range, one.resting);
        return;
      case "claim": {
        const holder = space.leaseAt(one.address);
        if (space.owns(one.address) && (!holder || holder.owner === one.owner)) space.claim({ ...lease, ...one });
        return;
      }
      case "release": {
        const leases = [...space.leases()];
        const gone = leases[one.pick % Math.max(1, leases.length)];
        if (gone) this.tell(space.release(gone.owner, gone.address).delta);
        return;
      }
      case "donate":
        if (one.to !== one.at) this.tell(space.donate(range, PEERS[one.to]!, one.resting) ?? []);
        return;
      case "transfer":
        if (one.from !== one.at) this.tell(space.transfer(PEERS[one.from]!, PEERS[one.at]!).delta);
        return;
      case "tidy":
        this.tell(space.tidy(() => one.there));
        return;
      case "deliver": {
        const delta = this.told[one.pick % Math.max(1, this.told.length)];
        if (delta) this.tell(space.merge(delta).defended);
        return;
      }
      case "wait":
        this.now += one.ms;
        return;
      default:
        one satisfies never;
    }
  }

  /** Everybody hears everything, and what comes of it. */
  settle(): void {
    for (let i = 0; i < this.told.length; i++) {
      if (i > 10_000) throw new Error("they dispute for ever");
      for (const space of this.spaces) this.tell(space.merge(this.told[i]!).defended);
    }
  }

  holders(address: number): number[] {
    return this.spaces.flatMap((space, index) => (space.leaseAt(address) ? [index] : []));
  }
}

function run(steps: readonly Step[], after: (hosts: Hosts) => void): Hosts {
  const hosts = new Hosts();
  for (const one of steps) {
    hosts.take(one);
    for (const space of hosts.spaces) expect(space.check()).toBeUndefined();
    after(hosts);
  }
  hosts.settle();
  for (const space of hosts.spaces) {
    expect(space.check()).toBeUndefined();
    expect(space.segments).toEqual(hosts.spaces[0]!.segments);
  }
  return hosts;
}

describe("spaces", () => {
  test("never give an address out twice while nobody is taken for dead", () => {
    const honest = fc.array(
      step.filter((one) => one.do !== "transfer"),
      { maxLength: 80 },
    );
    fc.assert(
      fc.property(honest, (steps) => {
        const hosts = run(steps, ({ spaces }) => {
          const all = spaces.flatMap((space) => Array.from(space.leases(), ({ address }) => address));
          expect(new Set(all).size).toBe(all.length);
        });
        for (const space of hosts.spaces) expect(space.conflicts.size).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  test("agree in the end whatever is taken over: an address in use stays with one who uses it, all others say so", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const hosts = run(steps, () => {});
        for (let address = 0; address < SIZE; address++) {
          const holders = hosts.holders(address);
          const reporting = hosts.spaces.filter((space) => space.conflicts.has(address)).length;
          expect(reporting).toBe(Math.max(0, holders.length - 1));
          if (holders.length > 0) expect(holders.some((index) => hosts.spaces[index]!.owns(address))).toBe(true);
        }
      }),
      { numRuns: 600 },
    );
  });
});
