// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { PEERS_MAX } from "../../../src/mesh/fields.ts";
import { ENTRIES_MAX, Topology } from "../../../src/mesh/topology.ts";
import { VirtualTime } from "../../sim/harness/virtual-clock.ts";
import { peerName, range, recordOf } from "../../support/records.ts";

const SELF = 1;

function topologyOf(...peers: number[]): Topology {
  const time = new VirtualTime();
  const clock = { now: () => time.now(), wallMs: () => 0, after: () => ({ [Symbol.dispose]: () => {} }) };
  const topology = new Topology(peerName(SELF), clock);
  topology.setOwn(recordOf(SELF, peers));
  return topology;
}

describe("what a peer makes up", () => {
  test("thousands of strangers in a record cost no room in the graph", () => {
    const topology = topologyOf(2);
    for (const i of range(0, 20)) topology.merge(recordOf(2 + i, range(1_000_000 * (i + 1), 4096)));
    expect(topology.graph.size).toBe(21);
  });

  test("a stream of records of strangers ends at the size of a mesh, in the graph too", () => {
    const topology = topologyOf(2);
    topology.merge(recordOf(2, [SELF]));
    for (const i of range(100, 3 * PEERS_MAX)) topology.merge(recordOf(i));
    expect(topology.records().length).toBeLessThanOrEqual(PEERS_MAX);
    expect(topology.graph.size).toBeLessThanOrEqual(2 * PEERS_MAX + 256);
    expect([...topology.reachable()]).toEqual([peerName(SELF), peerName(2)]);
  });

  test("a mesh as large as can be takes no more, and keeps what it has", () => {
    const topology = topologyOf(...range(2, PEERS_MAX - 1));
    for (const i of range(2, PEERS_MAX - 1)) topology.merge(recordOf(i, [SELF]));
    expect(topology.merge(recordOf(1_000_000, [SELF]))).toBe("full");
    expect(topology.merge(recordOf(2, [SELF], { version: 2 }))).toBe("new");
    expect(topology.reachable().size).toBe(PEERS_MAX);
  });

  test("connections of all records together are bounded", () => {
    const topology = topologyOf();
    let held = 0;
    for (const i of range(2, 400)) if (topology.merge(recordOf(i, range(10_000, 4096))) === "new") held += 4096;
    expect(held).toBeGreaterThanOrEqual(ENTRIES_MAX - 4096); // lost ones made way meanwhile
    const now = topology.records().reduce((sum, record) => sum + record.connections.size, 0);
    expect(now).toBeLessThanOrEqual(ENTRIES_MAX);
  });
});

describe("a peer that is heard of late", () => {
  test("is placed by what others said of it before", () => {
    const topology = topologyOf(2);
    topology.merge(recordOf(2, [SELF, 3]));
    expect(topology.reachable().has(peerName(3))).toBe(false);
    topology.merge(recordOf(3, [2]));
    expect(topology.reachable().has(peerName(3))).toBe(true);
  });

  test("is placed again when it comes back after it was forgotten", () => {
    const topology = topologyOf(2);
    topology.merge(recordOf(2, [SELF, 3]));
    topology.merge(recordOf(3, [2]));
    topology.forget(peerName(3));
    topology.merge(recordOf(2, [SELF, 3, 4], { version: 2 }));
    topology.merge(recordOf(3, [2], { version: 2 }));
    expect([...topology.reachable()].sort()).toEqual([SELF, 2, 3].map(peerName));
  });
});
