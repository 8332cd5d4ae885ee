// SPDX-License-Identifier: Apache-2.0
// The overlay's choice of transport and the plan it hands to the switch.
import { expect, test } from "bun:test";
import { type PeerName, peerNameFrom, type ShortId } from "../../../src/mesh/peer-name.ts";
import type { Neighbour, Routes } from "../../../src/mesh/ports.ts";
import type { Ip } from "../../../src/net/ip.ts";
import { Overlay, type Switch } from "../../../src/overlay/paths.ts";
import { type DatapathPlan, EMPTY_ROUTES } from "../../../src/overlay/plan.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { silentLog } from "../../../src/runtime/log.ts";

const peer = (number: number): PeerName => peerNameFrom(number)!;
const short = (number: number): ShortId => number as ShortId;

class RecordingSwitch implements Switch {
  plans: DatapathPlan[] = [];
  probes: { neighbour: ShortId; address: Ip; sequence: number }[] = [];
  apply(plan: DatapathPlan): { changed: number } {
    this.plans.push(plan);
    return { changed: 1 };
  }
  probe(neighbour: ShortId, address: Ip, sequence: number): void {
    this.probes.push({ neighbour, address, sequence });
  }
  activity(): { received: number; sent: number } {
    return { received: 7, sent: 9 };
  }
  get last(): DatapathPlan {
    return this.plans.at(-1)!;
  }
}

function build(fastdp = true, released = true): { overlay: Overlay; kernel: RecordingSwitch } {
  const kernel = new RecordingSwitch();
  const overlay = new Overlay(
    { fastdp, dataPort: 6784 },
    { switch: kernel, log: silentLog, counters: new Counters(), probeSent: () => {}, wallMs: () => 5_000 },
  );
  overlay.setRoutes(short(1), EMPTY_ROUTES);
  if (released) overlay.release();
  kernel.plans = [];
  return { overlay, kernel };
}

function neighbour(number: number, more: Partial<Neighbour> = {}): Neighbour {
  return {
    name: peer(number),
    shortId: short(number),
    address: `10.0.0.${number}`,
    dataPort: 6784,
    passwordUsed: false,
    trusted: false,
    transports: ["fastdp"],
    ...more,
  };
}

test("an opened neighbour is in the plan before its first probe", () => {
  const { overlay, kernel } = build();
  expect(overlay.open(neighbour(2))).toBeUndefined();
  expect([...kernel.last.neighbours.keys()]).toEqual([short(2)]);
  overlay.probe(peer(2), 5);
  expect(kernel.probes).toEqual([{ neighbour: short(2), address: "10.0.0.2" as Ip, sequence: 5 }]);
});

test("with a password and an untrusted network nothing clear may flow, and the reason is told", () => {
  const { overlay, kernel } = build();
  expect(overlay.open(neighbour(2, { passwordUsed: true }))).toContain("no encrypted transport");
  expect(kernel.plans).toEqual([]);
  overlay.probe(peer(2), 1);
  expect(kernel.probes).toEqual([]);
  expect(overlay.pathOf(peer(2))).toMatchObject({
    transport: "none",
    sinceMs: 5_000,
    reason: expect.stringContaining("--trusted-subnets"),
  });
});

test("a neighbour that loses its trust is closed at once", () => {
  const { overlay, kernel } = build();
  overlay.open(neighbour(2, { passwordUsed: true, trusted: true }));
  expect(kernel.last.neighbours.size).toBe(1);
  overlay.open(neighbour(2, { passwordUsed: true, trusted: false }));
  expect(kernel.last.neighbours.size).toBe(0);
});

test("the peer that authenticated last owns an underlay address", () => {
  const { overlay, kernel } = build();
  overlay.open(neighbour(2));
  overlay.open(neighbour(3, { address: "10.0.0.2" }));
  expect([...kernel.last.neighbours]).toEqual([[short(3), { address: "10.0.0.2" as Ip, dataPort: 6784 }]]);
  expect(overlay.pathOf(peer(2))?.reason).toContain("10.0.0.2");
});

test("routes and trees become map entries, and those over closed neighbours are left out", () => {
  const { overlay, kernel } = build();
  overlay.open(neighbour(2));
  const routes: Routes = {
    unicast: new Map([
      [peer(2), peer(2)],
      [peer(3), peer(2)],
      [peer(4), peer(5)],
    ]),
    trees: new Map([
      [peer(1), { parent: undefined, children: [peer(2), peer(5)] }],
      [peer(3), { parent: peer(2), children: [] }],
      [peer(4), { parent: peer(5), children: [peer(2)] }],
    ]),
    shortIds: new Map([1, 2, 3, 4, 5].map((number) => [peer(number), short(number)])),
  };
  overlay.setRoutes(short(1), routes);
  expect([...kernel.last.nextHops]).toEqual([
    [short(2), short(2)],
    [short(3), short(2)],
  ]);
  expect([...kernel.last.floods]).toEqual([
    [short(1), { parent: 0, hops: [short(2)] }],
    [short(3), { parent: 2, hops: [] }],
  ]);
});

test("without the fast datapath on either side there is no path and no plan entry", () => {
  expect(build(false).overlay.open(neighbour(2))).toContain("switched off here");
  expect(build().overlay.open(neighbour(2, { transports: [] }))).toContain("peer has the fast datapath switched off");
});

test("a neighbour with another data port has no path, and both ports are named", () => {
  const { overlay, kernel } = build();
  expect(overlay.open(neighbour(2, { dataPort: 7001 }))).toBe(
    "its data port is UDP 7001, ours is UDP 6784: all hosts need the same --port",
  );
  expect(kernel.plans).toEqual([]);
});

test("held, the switch keeps what an earlier daemon wrote until the mesh has its routes back", () => {
  const { overlay, kernel } = build(true, false);
  overlay.open(neighbour(2));
  expect(kernel.plans).toEqual([]);
  overlay.release();
  expect(kernel.last.neighbours.size).toBe(1);
});
