// SPDX-License-Identifier: Apache-2.0
// Routes and trees of any topology, compared with a plain search: shortest, loop-free, every tree reaching everyone once.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Graph } from "../../src/mesh/graph.ts";
import type { PeerName, ShortId } from "../../src/mesh/peer-name.ts";
import type { Routes } from "../../src/mesh/ports.ts";
import { Relation } from "../../src/mesh/relation.ts";
import { computeRoutes } from "../../src/mesh/routes.ts";
import { isConnectedWithout } from "../../src/mesh/search.ts";
import { entryTo, peerName, recordOf } from "../support/records.ts";

const PEERS = 24;
const NAMES = Array.from({ length: PEERS }, (_, i) => peerName(1000 + 7919 * i));
const facts = { shortId: (name: PeerName) => ((name % 4000) + 1) as ShortId, latencyClass: (name: PeerName) => name % 3 };

/** Directed claims: who says to be connected to whom. */
const claims = fc.oneof(
  fc.array(fc.tuple(fc.nat({ max: PEERS - 1 }), fc.nat({ max: PEERS - 1 })), { maxLength: 40 }).map(symmetric),
  fc.array(fc.tuple(fc.nat({ max: PEERS - 1 }), fc.nat({ max: PEERS - 1 })), { maxLength: 250 }).map(symmetric),
  fc.array(fc.tuple(fc.nat({ max: PEERS - 1 }), fc.nat({ max: PEERS - 1 })), { maxLength: 300 }),
);
type Claims = readonly (readonly [number, number])[];

function symmetric(pairs: Claims): [number, number][] {
  return pairs.flatMap(([a, b]) => [[a, b] as [number, number], [b, a] as [number, number]]);
}

function graphOf(pairs: Claims): Graph {
  const graph = new Graph();
  for (const name of NAMES) graph.admit(name);
  NAMES.forEach((name, from) => {
    const others = pairs.filter(([a, b]) => a === from && b !== from).map(([, b]) => NAMES[b]!);
    const connections = new Map(others.map((other) => [other, entryTo(other, { established: true })]));
    graph.replace(undefined, recordOf(name, [], { connections }));
  });
  return graph;
}

/** Hop counts from one peer over mutual claims, the plain way. */
function distances(pairs: Claims, from: number): Map<number, number> {
  const said = new Set(pairs.map(([a, b]) => `${a} ${b}`));
  const found = new Map([[from, 0]]);
  for (const [at, hops] of found) {
    for (let next = 0; next < PEERS; next++) {
      if (next !== at && !found.has(next) && said.has(`${at} ${next}`) && said.has(`${next} ${at}`)) found.set(next, hops + 1);
    }
  }
  return found;
}

function allRoutes(pairs: Claims): Map<PeerName, Routes> {
  const graph = graphOf(pairs);
  return new Map(NAMES.map((name) => [name, computeRoutes(graph, name, facts)]));
}

/** Copies that each peer gets of a frame flooded by `source`. */
function flood(routes: ReadonlyMap<PeerName, Routes>, source: PeerName): Map<PeerName, number> {
  const copies = new Map<PeerName, number>();
  const queue = [source];
  for (const at of queue) {
    for (const child of routes.get(at)!.trees.get(source)?.children ?? []) {
      copies.set(child, (copies.get(child) ?? 0) + 1);
      expect(routes.get(child)!.trees.get(source)?.parent).toBe(at);
      if (copies.get(child) === 1) queue.push(child);
    }
  }
  return copies;
}

describe("routes", () => {
  test("reach exactly who can be reached, in the fewest hops", () => {
    fc.assert(
      fc.property(claims, (pairs) => {
        const routes = allRoutes(pairs);
        NAMES.forEach((self, index) => {
          const hops = distances(pairs, index);
          const { unicast } = routes.get(self)!;
          expect(new Set(unicast.keys())).toEqual(new Set([...hops.keys()].filter((it) => it !== index).map((it) => NAMES[it]!)));
          for (const [destination, next] of unicast) {
            const back = distances(pairs, NAMES.indexOf(destination));
            expect(back.get(NAMES.indexOf(next))! + 1).toBe(back.get(index)!);
          }
        });
      }),
      { numRuns: 60 },
    );
  });

  test("flood from any source to everyone once, each from the parent it expects", () => {
    fc.assert(
      fc.property(claims, (pairs) => {
        const routes = allRoutes(pairs);
        NAMES.forEach((source, index) => {
          const copies = flood(routes, source);
          const others = [...distances(pairs, index).keys()].filter((it) => it !== index).map((it) => NAMES[it]!);
          expect(copies).toEqual(new Map([...copies.keys()].map((name) => [name, 1])));
          expect(new Set(copies.keys())).toEqual(new Set(others));
        });
      }),
      { numRuns: 60 },
    );
  });

  test("prefer the nearer of two neighbours on equally short ways", () => {
    const square = symmetric([
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 3],
    ]);
    const graph = graphOf(square);
    for (const near of [NAMES[1]!, NAMES[2]!]) {
      const routes = computeRoutes(graph, NAMES[0]!, { ...facts, latencyClass: (name) => (name === near ? 0 : 3) });
      expect(routes.unicast.get(NAMES[3]!)).toBe(near);
    }
  });

  test("of many sources spread their load over many relays", () => {
    const hubs = [0, 1, 2, 3];
    const leaves = Array.from({ length: PEERS - 4 }, (_, i) => i + 4);
    const routes = allRoutes(symmetric(hubs.flatMap((hub) => leaves.map((leaf) => [hub, leaf] as const))));
    const work = hubs.map((hub) =>
      leaves.reduce((sum, leaf) => sum + routes.get(NAMES[hub]!)!.trees.get(NAMES[leaf]!)!.children.length, 0),
    );
    expect(Math.max(...work)).toBeLessThan(3 * Math.min(...work));
  });
});

describe("a connection that can be spared", () => {
  test("is one without which both ends still reach each other", () => {
    fc.assert(
      fc.property(claims, fc.nat({ max: PEERS - 1 }), fc.nat({ max: PEERS - 1 }), (pairs, a, b) => {
        const { listed } = graphOf(pairs);
        if (a === b || !listed.isMutual(a, b)) return;
        const without = pairs.filter(([from, to]) => !(from === a && to === b));
        expect(isConnectedWithout(listed, a, b)).toBe(distances(without, a).has(b));
      }),
    );
  });
});

describe("a relation", () => {
  test("holds what a set of pairs would hold, while it grows", () => {
    const steps = fc.array(fc.tuple(fc.nat({ max: 200 }), fc.nat({ max: 200 }), fc.boolean()), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (changes) => {
        const relation = new Relation();
        const said = new Set<string>();
        relation.grow(64);
        for (const [from, to, isOn] of changes) {
          const needed = Math.max(from, to) + 1;
          if (needed > relation.words * 32) relation.grow(Math.ceil(needed / 32) * 32);
          relation.claim(from, to, isOn);
          if (isOn) said.add(`${from} ${to}`);
          else said.delete(`${from} ${to}`);
          expect(relation.isMutual(from, to)).toBe(said.has(`${from} ${to}`) && said.has(`${to} ${from}`));
        }
        for (const [a, b] of changes) expect(relation.isMutual(b, a)).toBe(said.has(`${a} ${b}`) && said.has(`${b} ${a}`));
      }),
    );
  });
});
