// SPDX-License-Identifier: Apache-2.0
// The small parts everybody leans on: time, chance, limits, log lines, counters.
import { expect, test } from "bun:test";
import { BoundedQueue } from "../../../src/runtime/bounded-queue.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { createLog, formatEvent, journalLine, limitedLog } from "../../../src/runtime/log.ts";
import { pick, seededRandom, shuffled, systemRandom } from "../../../src/runtime/random.ts";
import { TokenBucket } from "../../../src/runtime/token-bucket.ts";

test("a queue keeps order, refuses beyond its limit and says what it dropped", () => {
  const dropped: number[] = [];
  const queue = new BoundedQueue<number>({ limit: 3, onDrop: (item) => dropped.push(item) });
  expect([1, 2, 3, 4].map((item) => queue.push(item))).toEqual([true, true, true, false]);
  expect(dropped).toEqual([4]);
  expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([1, 2, 3, undefined]);
  for (let round = 0; round < 1000; round++) {
    queue.push(round);
    expect(queue.shift()).toBe(round);
  }
  expect(queue.length).toBe(0);
});

test("a bucket gives its burst at once and then one per refill", () => {
  let now = 0;
  const bucket = new TokenBucket(
    { now: () => now, wallMs: () => 0, after: () => ({ [Symbol.dispose]: () => {} }) },
    { burst: 2, refillMs: 50 },
  );
  expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
  now = 49;
  expect(bucket.take()).toBe(false);
  now = 101;
  expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
});

test("the same seed gives the same chances, another seed others", () => {
  const draw = (seed: number) =>
    Array.from(
      { length: 20 },
      (
        (random) => () =>
          random.below(1000)
      )(seededRandom(seed)),
    );
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

test("chance stays below its bound and reaches every value", () => {
  for (const random of [seededRandom(1), systemRandom]) {
    const seen = new Set(Array.from({ length: 400 }, () => random.below(6)));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(shuffled(random, [1, 2, 3]).sort()).toEqual([1, 2, 3]);
    expect(() => pick(random, [])).toThrow(RangeError);
  }
});

test("log lines are constant words and fields, quoted only where needed, below the threshold left out", () => {
  const lines: string[] = [];
  const log = createLog({ level: "info", write: (level, line) => lines.push(journalLine(level, line)) });
  log.debug("unseen");
  log.warn("peer refused", { peer: "aa", reason: "wrong password", port: 6783, gone: undefined });
  expect(lines).toEqual(['<4>peer refused peer=aa reason="wrong password" port=6783\n']);
  expect(formatEvent("x", { text: 'a"b' })).toBe('x text="a\\"b"');
  expect(formatEvent("x", { text: "\u001b[2J" })).toBe('x text="\\u001b[2J"');
  expect(formatEvent("x", { text: "a\u009b2J\u202e" })).toBe('x text="a\\u{9b}2J\\u{202e}"');
});

test("events that somebody brings about without end are told now and then, with how many were left out", () => {
  let now = 0;
  const clock = { now: () => now, wallMs: () => now, after: () => ({ [Symbol.dispose]: () => {} }) };
  const lines: string[] = [];
  const log = limitedLog(createLog({ level: "info", write: (_level, line) => lines.push(line) }), clock);
  for (let i = 0; i < 100_000; i++) log.warn("peers collide", { peer: i });
  expect(lines.length).toBe(500);
  log.info("ready");
  now = 2000;
  log.warn("peers collide", { peer: 7 });
  expect(lines.slice(500)).toEqual(["ready", "peers collide peer=7 leftOut=99500"]);
});

test("a counter family is made once and counts per label", () => {
  const counters = new Counters();
  counters.family("weave_x_total", "x").add("a");
  counters.family("weave_x_total", "x").add("a", 2);
  expect([...counters.all()].map((family) => [family.name, family.read().get("a")])).toEqual([["weave_x_total", 3]]);
});
