// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { CHECK_MS, GROW_MS, PathMtu, SAFE_BYTES } from "../../../../src/overlay/sleeve/path-mtu.ts";

/** A path that carries packets up to `limit` and answers after `roundTripMs`; `loses` says which probe gets lost all the same. */
class Path {
  limit: number;
  now = 0;
  probes = 0;
  loses: (count: number) => boolean = () => false;
  readonly mtu: PathMtu;
  #answers: { readonly at: number; readonly size: number }[] = [];

  constructor(limit: number, largest = 1500, roundTripMs = 20) {
    this.limit = limit;
    this.mtu = new PathMtu(largest, (size) => {
      if (size <= this.limit && !this.loses(++this.probes)) this.#answers.push({ at: this.now + roundTripMs, size });
    });
  }
  start(): this {
    this.mtu.start(this.now);
    return this;
  }
  /** Lets time pass, with or without traffic of full size. */
  run(ms: number, isInUse = false): this {
    for (const end = this.now + ms; this.now < end; this.now++) {
      for (const { size } of this.#answers.filter(({ at }) => at <= this.now)) this.mtu.answered(size, this.now);
      this.#answers = this.#answers.filter(({ at }) => at > this.now);
      if (isInUse) this.mtu.inUse(this.now);
      if (this.mtu.dueAt <= this.now) this.mtu.due(this.now);
    }
    return this;
  }
}

describe("path MTU", () => {
  test("the usual sizes are found in one round trip", () => {
    for (const limit of [1024, 1124, 1280, 1400, 1420, 1460, 1492, 1500]) {
      expect(new Path(limit).start().run(25).mtu.bytes).toBe(limit);
    }
  });

  test("any other size is found to within eight bytes", () => {
    for (let limit = 576; limit <= 1500; limit += 7) {
      const { bytes } = new Path(limit).start().run(3_000).mtu;
      expect(bytes).toBeLessThanOrEqual(limit);
      expect(bytes).toBeGreaterThan(limit - 9);
    }
  });

  test("jumbo links are used whole", () => {
    expect(new Path(9000, 9000).start().run(25).mtu.bytes).toBe(9000);
    expect(new Path(65_535, 65_535).start().run(25).mtu.bytes).toBe(65_535);
    expect(new Path(5000, 9000).start().run(5_000).mtu.bytes).toBeGreaterThan(4_991);
  });

  test("before the first answer packets stay small", () => {
    expect(new Path(1500).mtu.bytes).toBe(SAFE_BYTES);
    expect(new Path(0).start().run(30_000).mtu.bytes).toBe(SAFE_BYTES);
  });

  test("a path that says nothing is asked ever more rarely, and found when it speaks", () => {
    const path = new Path(0).start().run(120_000);
    const { probes } = path;
    expect(probes).toBe(0); // none got through
    path.limit = 1400;
    expect(path.run(25_000).mtu.bytes).toBe(1400);
  });

  test("one that becomes smaller while it is used costs less than three seconds", () => {
    for (const limit of [576, 1124, 1280, 1400, 1460]) {
      const path = new Path(1500).start().run(1_000, true);
      path.limit = limit;
      path.run(CHECK_MS + 700, true);
      expect(path.mtu.bytes).toBeLessThanOrEqual(limit);
      expect(path.run(3_000, true).mtu.bytes).toBeGreaterThan(limit - 9);
    }
  });

  test("one that becomes larger is noticed within about a minute of use", () => {
    const path = new Path(1280).start().run(5_000, true);
    expect(path.mtu.bytes).toBe(1280);
    path.limit = 1500;
    expect(path.run(GROW_MS + CHECK_MS, true).mtu.bytes).toBe(1500);
  });

  test("an unused path is left alone", () => {
    const path = new Path(1500).start().run(1_000);
    const { probes } = path;
    path.run(600_000);
    expect([path.probes, path.mtu.dueAt]).toEqual([probes, Number.POSITIVE_INFINITY]);
  });

  test("a dead path says nothing about sizes", () => {
    const path = new Path(1500).start().run(1_000);
    path.limit = 0;
    path.run(10_000, true);
    expect(path.mtu.bytes).toBe(1500);
  });

  test("lost probes do not make it smaller", () => {
    const path = new Path(1500);
    path.loses = (count) => count % 3 === 0;
    path.start().run(2_000);
    expect(path.run(600_000, true).mtu.bytes).toBe(1500);
  });

  test("a long way is given the time it needs", () => {
    const path = new Path(1500, 1500, 700).start().run(5_000, true);
    expect(path.mtu.bytes).toBe(1500);
    expect(path.run(60_000, true).mtu.bytes).toBe(1500);
  });

  test("what our own link refuses is not tried again at once", () => {
    const path = new Path(1500).start().run(1_000);
    path.limit = 1400;
    expect(path.mtu.refused(1500, path.now)).toBe(true);
    expect(path.mtu.bytes).toBe(SAFE_BYTES);
    expect(path.run(1_000, true).mtu.bytes).toBe(1400);
  });

  test("answers nobody asked for are not believed beyond the link's size", () => {
    const { mtu } = new Path(1400).start().run(100);
    expect([mtu.answered(9000, 100), mtu.answered(0, 100), mtu.bytes]).toEqual([false, false, 1400]);
  });

  test("when the path is another one, its size is looked for anew while the old one stays in use", () => {
    const path = new Path(1500).start().run(1_000);
    path.limit = 1280;
    path.mtu.start(path.now);
    expect(path.mtu.bytes).toBe(1500);
    expect(path.run(1_000).mtu.bytes).toBe(1280);
  });
});
