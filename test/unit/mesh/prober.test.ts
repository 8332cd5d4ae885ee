// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { Doubt } from "../../../src/mesh/doubt.ts";
import { PATH_TIMES, Prober } from "../../../src/mesh/prober.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { manualClock } from "./builders.ts";

function probed(clock: Clock, doubt = new Doubt(clock, () => {})) {
  const events: string[] = [];
  const sentAt: number[] = [];
  const prober = new Prober(clock, doubt, PATH_TIMES, {
    send: () => void sentAt.push(clock.now()),
    found: () => void events.push("found"),
    suspected: () => void events.push("suspected"),
    dead: () => void events.push(`dead at ${clock.now()}`),
  });
  return { prober, events, sentAt };
}

describe("a prober", () => {
  test("seeks at once, then ever more slowly, up to every ten seconds", () => {
    const { clock, advance } = manualClock();
    const { prober, sentAt, events } = probed(clock);
    prober.seek();
    advance(60_000);
    expect(sentAt.slice(0, 6)).toEqual([0, 2, 5, 10, 20, 40]);
    expect(sentAt.at(-1)! - sentAt.at(-2)!).toBe(10_000);
    prober.answered(1);
    expect(events).toEqual(["found"]);
    advance(60_000);
    expect(sentAt.length).toBeLessThan(25);
  });

  test("declares dead after 0.9 s of silence and ten probes, having raised suspicion before", () => {
    const { clock, advance } = manualClock();
    const { prober, sentAt, events } = probed(clock);
    prober.watch();
    prober.check();
    advance(850);
    expect(events).toEqual(["suspected"]);
    advance(200);
    expect(events).toEqual(["suspected", "dead at 925"]);
    expect(sentAt.filter((at) => at < 925).length).toBe(10);
  });

  test("that is answered while it sends, at the moment of death, has found it again afterwards", () => {
    const { clock, advance } = manualClock();
    const events: string[] = [];
    const prober: Prober = new Prober(clock, new Doubt(clock, () => {}), PATH_TIMES, {
      send: () => {
        if (clock.now() >= 925) prober.answered(1); // a look at the kernel brings the answer to an earlier probe
      },
      found: () => void events.push("found"),
      suspected: () => {},
      dead: () => void events.push("dead"),
    });
    prober.watch();
    prober.check();
    advance(2_000);
    expect(events).toEqual(["dead", "found"]);
  });

  test("is in no hurry for the answer to a calm check, only for those that follow when there is none", () => {
    const { clock, advance } = manualClock();
    const manners: string[] = [];
    const ports = { found: () => {}, suspected: () => {}, dead: () => {} };
    const prober = new Prober(clock, new Doubt(clock, () => {}), PATH_TIMES, {
      ...ports,
      send: (manner) => void manners.push(manner),
    });
    prober.watch();
    prober.check();
    advance(249);
    expect(manners).toEqual(["calm"]);
    advance(1);
    expect(manners).toEqual(["calm", "urgent"]);
    prober.answered(1);
    prober.check("urgent");
    expect(manners).toEqual(["calm", "urgent", "urgent"]);
  });

  test("any answer ends the suspicion", () => {
    const { clock, advance } = manualClock();
    const { prober, events } = probed(clock);
    prober.watch();
    prober.check();
    advance(800);
    prober.answered(1);
    advance(10_000);
    expect(events).toEqual(["suspected"]);
  });

  test("has more patience with a distant neighbour", () => {
    const { clock, advance } = manualClock();
    const { prober, events } = probed(clock);
    prober.watch();
    prober.answered(600);
    prober.check();
    advance(2300);
    expect(events).not.toContain("dead");
    advance(1000);
    expect(events.at(-1)).toStartWith("dead");
  });

  test("does not count a silence during which we slept", () => {
    const { clock, advance } = manualClock();
    let sleeping = false;
    const late: (() => void)[] = [];
    const sleepy: Clock = { ...clock, after: (ms, fire) => clock.after(ms, () => (sleeping ? void late.push(fire) : fire())) };
    const { prober, events } = probed(sleepy);
    prober.watch();
    prober.check();
    sleeping = true;
    advance(30_000);
    sleeping = false;
    for (const fire of late) fire();
    advance(200);
    expect(events).toEqual([]);
    advance(1500);
    expect(events.at(-1)).toStartWith("dead");
  });
});

describe("doubt", () => {
  test("waits longer while nobody at all answers, but not for ever", () => {
    const { clock, advance } = manualClock();
    const doubt = new Doubt(clock, () => {});
    const both = [probed(clock, doubt), probed(clock, doubt)];
    advance(5000);
    for (const { prober } of both) {
      prober.watch();
      prober.check();
    }
    advance(1500);
    expect(both.flatMap(({ events }) => events)).toEqual(["suspected", "suspected"]);
    advance(1500);
    expect(both.every(({ events }) => events.at(-1)?.startsWith("dead"))).toBe(true);
  });

  test("asks for a second opinion at the first silence, once", () => {
    const { clock, advance } = manualClock();
    let asked = 0;
    const doubt = new Doubt(clock, () => asked++);
    const { prober } = probed(clock, doubt);
    prober.watch();
    prober.check();
    advance(900);
    expect(asked).toBe(1);
  });
});
