// SPDX-License-Identifier: Apache-2.0
// The topology is kept up to date step by step; here it is compared with one that is made afresh from the same records.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { diffRecords, type PeerRecord } from "../../src/mesh/record.ts";
import { Topology } from "../../src/mesh/topology.ts";
import { entryTo, peerName, recordOf } from "../support/records.ts";

const SELF = 1;
const clock = { now: () => 0, wallMs: () => 0, after: () => ({ [Symbol.dispose]: () => {} }) };

type Step =
  | {
      readonly do: "change";
      readonly peer: number;
      readonly others: readonly number[];
      readonly up: boolean;
      readonly by: "record" | "delta";
    }
  | { readonly do: "forget"; readonly peer: number }
  | { readonly do: "look" };

const peer = fc.integer({ min: 1, max: 9 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("change" as const),
      peer,
      others: fc.uniqueArray(peer),
      up: fc.boolean(),
      by: fc.constantFrom("record" as const, "delta" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), peer: fc.integer({ min: 2, max: 9 }) }) },
  { weight: 2, arbitrary: fc.constant({ do: "look" as const }) },
);

function fresh(records: readonly PeerRecord[]): Topology {
  const topology = new Topology(peerName(SELF), clock);
  for (const record of records) {
    if (record.name === peerName(SELF)) topology.setOwn(record);
    else topology.merge(record);
  }
  return topology;
}

function seen(topology: Topology): unknown {
  const { sums, peers } = topology.digest();
  const names = [...topology.reachable()].sort((a, b) => a - b);
  const pairs = names.flatMap((a) => names.map((b) => [bit(topology, "listed", a, b), bit(topology, "data", a, b)]));
  return { sums, peers, names, pairs };
}

function bit(topology: Topology, relation: "listed" | "data", a: number, b: number): boolean {
  const [from, to] = [topology.graph.indexOf(peerName(a))!, topology.graph.indexOf(peerName(b))!];
  return topology.graph[relation].isMutual(from, to);
}

function apply(topology: Topology, step: Step): void {
  if (step.do === "look") topology.digest();
  else if (step.do === "forget") topology.forget(peerName(step.peer));
  else {
    const before = topology.get(peerName(step.peer));
    const others = step.others.filter((other) => other !== step.peer);
    const connections = new Map(others.map((other) => [peerName(other), entryTo(peerName(other), { established: step.up })]));
    const next = recordOf(step.peer, [], { version: (before?.version ?? 0) + 1, connections });
    const delta = before && step.by === "delta" ? diffRecords(before, next) : undefined;
    if (step.peer === SELF) topology.setOwn(next, delta && [...delta.removed, ...delta.changed.map((entry) => entry.peer)]);
    else if (delta) topology.mergeDelta(delta);
    else topology.merge(next);
  }
}

describe("a topology", () => {
  test("after any changes equals one made afresh from its records", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const topology = fresh([recordOf(SELF)]);
        for (const one of steps) apply(topology, one);
        expect(seen(topology)).toEqual(seen(fresh(topology.records())));
      }),
      { numRuns: 300 },
    );
  });
});
