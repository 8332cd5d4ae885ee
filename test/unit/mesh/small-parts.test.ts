// SPDX-License-Identifier: Apache-2.0
// The parts of the mesh that fit on a hand: back-off, latency classes, seen broadcasts, short ids, revocations, warnings, addresses.
import { describe, expect, test } from "bun:test";
import { atPort, dialAddress, ipOf, withPort } from "../../../src/mesh/address.ts";
import { backoffMs } from "../../../src/mesh/backoff.ts";
import { Latency } from "../../../src/mesh/latency.ts";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import { Revocations } from "../../../src/mesh/revocations.ts";
import { successors, watchCount, watches } from "../../../src/mesh/ring.ts";
import { Seen } from "../../../src/mesh/seen.ts";
import { drawShortId, rivalOf } from "../../../src/mesh/short-ids.ts";
import { Warnings } from "../../../src/mesh/warnings.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { keyOf, manualClock, peer, shortId, uidOf } from "./builders.ts";

describe("back-off", () => {
  test("doubles from a second to a minute, each step between its half and its whole", () => {
    const random = seededRandom(1);
    for (const [failures, step] of [
      [1, 1000],
      [2, 2000],
      [4, 8000],
      [7, 60_000],
      [500, 60_000],
    ] as const) {
      for (let i = 0; i < 50; i++) {
        const pause = backoffMs(random, failures);
        expect(pause).toBeGreaterThanOrEqual(step / 2);
        expect(pause).toBeLessThanOrEqual(step);
      }
    }
  });
});

describe("latency", () => {
  test("takes its class from the first sample and keeps it near a bound", () => {
    const latency = new Latency();
    expect(latency.add(1.8)).toBe(false);
    for (let i = 0; i < 100; i++) expect(latency.add(i % 2 === 0 ? 1.7 : 2.4)).toBe(false);
    expect(latency.class).toBe(0);
    for (let i = 0; i < 100; i++) latency.add(50);
    expect(latency.class).toBe(3);
    expect(Math.round(latency.rttMs!)).toBe(50);
  });
  test("of a satellite is the last class", () => {
    const latency = new Latency();
    latency.add(5000);
    expect(latency.class).toBe(7);
  });
});

describe("seen broadcasts", () => {
  test("are new once, in any order", () => {
    const seen = new Seen();
    expect([3, 1, 2, 3, 1, 4].map((sequence) => seen.isNew(peer(1), uidOf(1), sequence))).toEqual([
      true,
      true,
      true,
      false,
      false,
      true,
    ]);
  });
  test("of another source or another life are others", () => {
    const seen = new Seen();
    expect(seen.isNew(peer(1), uidOf(1), 5)).toBe(true);
    expect(seen.isNew(peer(2), uidOf(1), 5)).toBe(true);
    expect(seen.isNew(peer(1), uidOf(2), 5)).toBe(true);
  });
  test("far behind are not taken, and the memory stays bounded", () => {
    const seen = new Seen();
    for (let i = 1; i <= 10_000; i++) expect(seen.isNew(peer(1), uidOf(1), i)).toBe(true);
    expect(seen.isNew(peer(1), uidOf(1), 9_500)).toBe(false);
  });
});

describe("short ids", () => {
  test("of two equal ones exactly one is drawn again", () => {
    const holders = [
      { name: peer(1), version: 4, shortId: shortId(7) },
      { name: peer(2), version: 9, shortId: shortId(7) },
      { name: peer(3), version: 9, shortId: shortId(7) },
    ];
    expect(holders.map((holder) => rivalOf(holder, holders) !== undefined)).toEqual([true, false, true]);
  });
  test("are drawn from the free ones, down to the last", () => {
    const random = seededRandom(4);
    const used = new Set<ShortId>();
    for (let i = 0; i < 4094; i++) {
      const id = drawShortId(random, used)!;
      expect(used.has(id)).toBe(false);
      used.add(id);
    }
    expect(Math.min(...used)).toBe(1);
    expect(Math.max(...used)).toBe(4094);
    expect(drawShortId(random, used)).toBeUndefined();
  });
});

describe("the ring", () => {
  const names = Array.from({ length: 40 }, (_, i) => peer(1000 + i * 17));
  test("has everybody watched by as many as it watches, and both agree who", () => {
    for (const self of names) {
      const watched = successors(self, names, 3);
      expect(watched.length).toBe(3);
      for (const other of names) if (other !== self) expect(watches(self, names, other, 3)).toBe(watched.includes(other));
    }
  });
  test("grows its watch with the mesh", () => {
    expect([2, 20, 100, 500, 4000].map(watchCount)).toEqual([1, 1, 2, 10, 10]);
  });
});

describe("revocations", () => {
  test("merge to the same set and hash in any order", () => {
    const [a, b] = [new Revocations([keyOf(1), keyOf(2)]), new Revocations([keyOf(2)])];
    expect(b.add([keyOf(1), keyOf(2)])).toEqual([keyOf(1)]);
    expect(b.hash).toBe(a.hash);
    expect(b.list()).toEqual(a.list());
    expect(new Revocations().hash).not.toBe(a.hash);
  });
});

describe("warnings", () => {
  test("are news once and fade", () => {
    const { clock, advance } = manualClock();
    const warnings = new Warnings(clock);
    expect(warnings.raise("clone", "two of us")).toBe(true);
    expect(warnings.raise("clone", "two of us")).toBe(false);
    advance(500_000);
    expect(warnings.list()).toEqual(["two of us"]);
    advance(200_000);
    expect(warnings.list()).toEqual([]);
  });
});

describe("addresses", () => {
  test("lose and change their port", () => {
    expect(ipOf("10.0.0.1:6783")).toBe("10.0.0.1");
    expect(ipOf("[2001:db8::1]:6783")).toBe("2001:db8::1");
    expect(withPort("[2001:db8::1]:40000", 6783)).toBe("[2001:db8::1]:6783");
    expect(withPort("nonsense", 1)).toBeUndefined();
    expect(atPort("fe80::1", 1)).toBe("[fe80::1]:1");
  });
  test("of targets get the default port", () => {
    expect(dialAddress("host1", 7000)).toBe("host1:7000");
    expect(dialAddress("10.0.0.1:99", 7000)).toBe("10.0.0.1:99");
    expect(dialAddress("2001:db8::1", 7000)).toBe("[2001:db8::1]:7000");
    expect(dialAddress("[2001:db8::1]:5", 7000)).toBe("[2001:db8::1]:5");
    expect(dialAddress("a b", 7000)).toBeUndefined();
  });
});
