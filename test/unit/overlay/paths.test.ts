// SPDX-License-Identifier: Apache-2.0
// The overlay's plan for the switch, as neighbours and routes come and go. How it chooses is in test/sim/paths.test.ts.
import { expect, test } from "bun:test";
import { type PeerName, peerNameFrom, type ShortId } from "../../../src/mesh/peer-name.ts";
import type { Neighbour, Routes } from "../../../src/mesh/ports.ts";
import type { Ip } from "../../../src/net/ip.ts";
import type { Switch } from "../../../src/overlay/carriers.ts";
import { Overlay, transportNames } from "../../../src/overlay/paths.ts";
import { type DatapathPlan, EMPTY_ROUTES, type Path } from "../../../src/overlay/plan.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { manualClock } from "../mesh/builders.ts";

const peer = (number: number): PeerName => peerNameFrom(number)!;
const short = (number: number): ShortId => number as ShortId;

class RecordingSwitch implements Switch {
  plans: DatapathPlan[] = [];
  probes: { neighbour: ShortId; path: Path; sequence: number }[] = [];
  answered = 0;
  apply(plan: DatapathPlan): { changed: number } {
    this.plans.push(plan);
    return { changed: 1 };
  }
  probe(neighbour: ShortId, path: Path, sequence: number): void {
    this.probes.push({ neighbour, path, sequence });
  }
  activity(): { received: number; sent: number; sentBytes: number } {
    return { received: 7, sent: 9, sentBytes: 0 };
  }
  read(): undefined {}
  get last(): DatapathPlan {
    return this.plans.at(-1)!;
  }
  /** Answers to all probes since the last call. */
  replies() {
    const fresh = this.probes.slice(this.answered);
    this.answered = this.probes.length;
    return fresh.map(({ neighbour, sequence }) => ({ neighbour, sequence, rttMs: 0.1 }));
  }
}

function build(how: { fastdp?: boolean; released?: boolean } = {}) {
  const kernel = new RecordingSwitch();
  const { clock, advance } = manualClock();
  const overlay = new Overlay(
    { fastdp: how.fastdp ?? true, dataPort: 6784, mtuBytes: 1430 },
    {
      clock,
      random: seededRandom(1),
      log: silentLog,
      counters: new Counters(),
      sealing: { random: (length) => new Uint8Array(length).fill(1), blake2b: () => new Uint8Array(64), wipe: () => {} },
      switch: kernel,
      sleeve: "no sleeve in this test",
      wireguard: "no WireGuard in this test",
      replies: () => kernel.replies(),
      alive: () => {},
    },
  );
  overlay.setRoutes(short(1), EMPTY_ROUTES);
  if (how.released ?? true) overlay.release();
  kernel.plans = [];
  return { overlay, kernel, advance };
}

function neighbour(number: number, more: Partial<Neighbour> = {}): Neighbour {
  return {
    name: peer(number),
    nickname: `host${number}`,
    shortId: short(number),
    publicKey: new Uint8Array(32).fill(number),
    address: `10.0.0.${number}`,
    dataPort: 6784,
    passwordUsed: false,
    trusted: false,
    transports: ["fastdp"],
    session: undefined,
    ...more,
  };
}
const fastdp = (number: number): Path => ({ kind: "fastdp", address: `10.0.0.${number}` as Ip });

test("an opened neighbour's frames are taken before its first probe, and sent to when it has answered", () => {
  const { overlay, kernel, advance } = build();
  expect(overlay.open(neighbour(2))).toBeUndefined();
  expect(kernel.plans[0]?.neighbours.get(short(2))).toMatchObject({ send: undefined, accept: [fastdp(2)] });
  overlay.probe(peer(2), "urgent");
  expect(kernel.probes.at(-1)).toMatchObject({ neighbour: short(2), path: fastdp(2) });
  advance(5);
  expect(kernel.last.neighbours.get(short(2))).toMatchObject({ send: fastdp(2), accept: [fastdp(2)], mtuBytes: 1430 });
});

test("a neighbour that loses its trust is closed at once", () => {
  const { overlay, kernel } = build();
  overlay.open(neighbour(2, { passwordUsed: true, trusted: true }));
  expect(kernel.last.neighbours.size).toBe(1);
  expect(overlay.open(neighbour(2, { passwordUsed: true, trusted: false }))).toContain("no WireGuard in this test");
  expect(kernel.last.neighbours.size).toBe(0);
});

test("two neighbours behind one address cannot both have clear frames from it; the second does when the first has gone", () => {
  const { overlay, kernel } = build();
  overlay.open(neighbour(2));
  expect(overlay.open(neighbour(3, { address: "10.0.0.2" }))).toContain("also that of peer");
  expect([...kernel.last.neighbours.keys()]).toEqual([short(2)]);
  overlay.close(peer(2));
  expect(overlay.open(neighbour(3, { address: "10.0.0.2" }))).toBeUndefined();
});

test("routes and trees become map entries, and those over closed neighbours are left out", () => {
  const { overlay, kernel, advance } = build();
  overlay.open(neighbour(2));
  overlay.probe(peer(2), "urgent");
  advance(5);
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

test("without the fast datapath on either side, and without a sleeve, there is no path and no plan entry", () => {
  const { overlay } = build({ fastdp: false });
  expect(overlay.open(neighbour(2))).toContain("switched off here");
  expect(overlay.pathOf(peer(2))?.reason).toContain("switched off here");
  expect(build().overlay.open(neighbour(2, { transports: [] }))).toContain("peer has the fast datapath switched off");
});

test("a neighbour with another data port has no path, and both ports are named", () => {
  const { overlay, kernel } = build();
  expect(overlay.open(neighbour(2, { dataPort: 7001 }))).toContain("UDP 7001, ours is UDP 6784: all hosts need the same --port");
  expect(kernel.last?.neighbours.size ?? 0).toBe(0);
});

test("held, the switch keeps what an earlier daemon wrote until the mesh has its routes back", () => {
  const { overlay, kernel } = build({ released: false });
  overlay.open(neighbour(2));
  expect(kernel.plans).toEqual([]);
  overlay.release();
  expect(kernel.last.neighbours.size).toBe(1);
});

test("the hello names what a host can do, best first", () => {
  expect(transportNames({ fastdp: true, wireguard: true, sleeve: true })).toEqual(["fastdp", "wireguard", "sleeve"]);
  expect(transportNames({ fastdp: false, wireguard: true, sleeve: true })).toEqual(["sleeve"]);
});
