// SPDX-License-Identifier: Apache-2.0
// Work of readers gets a fifth of the time, in order, and only so much of it may wait.
import { describe, expect, test } from "bun:test";
import { Pacer } from "../../../src/api/pacer.ts";
import type { Clock } from "../../../src/runtime/clock.ts";

/** A clock that stands still until somebody waits for it. */
class WaitingClock implements Clock {
  time = 1000;
  now(): number {
    return this.time;
  }
  wallMs(): number {
    return this.time;
  }
  after(delayMs: number, fire: () => void): Disposable {
    this.time += delayMs;
    queueMicrotask(fire);
    return { [Symbol.dispose]: () => {} };
  }
}

describe("pacer", () => {
  test("work that costs nothing never waits", async () => {
    const clock = new WaitingClock();
    const pacer = new Pacer(clock);
    for (let i = 0; i < 100; i++) await pacer.run(async () => {});
    expect(clock.time).toBe(1000);
  });

  test("after work of 10 ms the next begins 40 ms later, in the order of asking", async () => {
    const clock = new WaitingClock();
    const pacer = new Pacer(clock);
    const begun: [string, number][] = [];
    const work = (name: string) => async () => {
      begun.push([name, clock.time]);
      clock.time += 10;
    };
    await Promise.all([pacer.run(work("a")), pacer.run(work("b")), pacer.run(work("c"))]);
    expect(begun).toEqual([
      ["a", 1000],
      ["b", 1050],
      ["c", 1100],
    ]);
  });

  test("failed work counts too and its error arrives", async () => {
    const clock = new WaitingClock();
    const pacer = new Pacer(clock);
    const failing = pacer.run(async () => {
      clock.time += 100;
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    await pacer.run(async () => {});
    expect(clock.time).toBe(1500);
  });

  test("the 33rd that would have to wait is refused, and there is room again later", async () => {
    const pacer = new Pacer(new WaitingClock());
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = Array.from({ length: 32 }, () => pacer.run(() => promise));
    await expect(pacer.run(async () => {})).rejects.toMatchObject({ code: "unavailable" });
    resolve();
    await Promise.all(waiting);
    await pacer.run(async () => {});
  });
});
