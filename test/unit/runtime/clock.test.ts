// SPDX-License-Identifier: Apache-2.0
// What recurs, and on how many timers.
import { expect, test } from "bun:test";
import { type Clock, every } from "../../../src/runtime/clock.ts";
import { VirtualTime } from "../../sim/harness/virtual-clock.ts";

function build(startMs = 0) {
  const time = new VirtualTime();
  time.runUntil(startMs);
  const armed: number[] = [];
  const clock: Clock = {
    now: () => time.now(),
    wallMs: () => 0,
    after(delayMs, fire) {
      armed.push(time.now() + delayMs);
      return time.after(delayMs, fire);
    },
  };
  return { clock, time, armed };
}

test("ticks come at multiples of the period, wherever it began", () => {
  const { clock, time } = build(130);
  const at: number[] = [];
  using _ = every(clock, 100, () => at.push(time.now()));
  time.runUntil(450);
  expect(at).toEqual([200, 300, 400]);
});

test("several periods share the wake-ups", () => {
  const { clock, time, armed } = build(130);
  const counts = { often: 0, rarely: 0 };
  using _often = every(clock, 100, () => counts.often++);
  using _rarely = every(clock, 300, () => counts.rarely++);
  time.runUntil(1_250);
  expect(counts).toEqual({ often: 11, rarely: 4 });
  expect(armed).toEqual([200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_100, 1_200, 1_300]);
});

test("a shorter period that begins later is not kept waiting for a longer one", () => {
  const { clock, time } = build();
  const at: number[] = [];
  using _long = every(clock, 1_000, () => {});
  using _short = every(clock, 10, () => at.push(time.now()));
  time.runUntil(35);
  expect(at).toEqual([10, 20, 30]);
});

test("what was missed while nothing ran is not made up for", () => {
  const late: (() => void)[] = [];
  const time = new VirtualTime();
  let sleeps = false;
  const after: Clock["after"] = (ms, fire) => time.after(ms, () => (sleeps ? void late.push(fire) : fire()));
  const at: number[] = [];
  using _ = every({ now: () => time.now(), wallMs: () => 0, after }, 100, () => at.push(time.now()));
  sleeps = true;
  time.runUntil(1_050);
  sleeps = false;
  for (const fire of late.splice(0)) fire();
  time.runUntil(1_250);
  expect(at).toEqual([1_050, 1_100, 1_200]);
});

test("a timer that fires a moment early brings its tick once", () => {
  const time = new VirtualTime();
  const clock: Clock = { now: () => time.now(), wallMs: () => 0, after: (ms, fire) => time.after(ms - 0.4, fire) };
  const at: number[] = [];
  using _ = every(clock, 100, () => at.push(Math.round(time.now())));
  time.runUntil(350);
  expect(at).toEqual([100, 200, 300]);
});

test("one that is disposed ticks no more, also when it is disposed by another's tick, and the rest goes on", () => {
  const { clock, time } = build();
  const ticks: string[] = [];
  using _first = every(clock, 100, () => {
    ticks.push("first");
    second[Symbol.dispose]();
  });
  const second = every(clock, 100, () => ticks.push("second"));
  time.runUntil(250);
  expect(ticks).toEqual(["first", "first"]);
});

test("a tick that throws does not end what else recurs", () => {
  const { clock, time } = build();
  let ticks = 0;
  using _throws = every(clock, 100, () => {
    throw new Error("oops");
  });
  using _other = every(clock, 50, () => ticks++);
  const run = (until: number) => {
    for (;;) {
      try {
        time.runUntil(until);
        return;
      } catch (thrown) {
        expect(String(thrown)).toContain("oops");
      }
    }
  };
  run(400);
  expect(ticks).toBeGreaterThanOrEqual(4);
});
