// SPDX-License-Identifier: Apache-2.0
// Who may begin a handshake, and when.
import { describe, expect, test } from "bun:test";
import {
  ADMISSION_LIMITS,
  Admission,
  type AdmissionLimits,
  type AdmissionRefusal,
  GUESS_PAUSE_MS,
  type Place,
} from "../../../src/host/tcp-admission.ts";
import type { Clock } from "../../../src/runtime/clock.ts";

class ManualClock implements Clock {
  #now = 0;
  #timers: { at: number; fire: () => void }[] = [];
  now(): number {
    return this.#now;
  }
  wallMs(): number {
    return this.#now;
  }
  after(delayMs: number, fire: () => void): Disposable {
    const timer = { at: this.#now + delayMs, fire };
    this.#timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }
  async advance(ms: number): Promise<void> {
    for (const end = this.#now + ms; this.#now < end; ) {
      this.#now++;
      const due = this.#timers.filter((timer) => timer.at <= this.#now);
      this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
      for (const timer of due) timer.fire();
    }
    await Promise.resolve();
  }
}

const isPlace = (result: AdmissionRefusal | Place): result is Place => typeof result !== "string";

function admissionOf(limits: Partial<AdmissionLimits> = {}) {
  const clock = new ManualClock();
  const begun: string[] = [];
  const admission = new Admission(clock, { ...ADMISSION_LIMITS, ...limits });
  const admit = (address: string) => admission.admit(address, () => void begun.push(address));
  return { clock, begun, admission, admit };
}

describe("admission", () => {
  test("one address has eight places, all together sixty-four, and places come back", () => {
    const { admission, admit } = admissionOf();
    const places = Array.from({ length: 8 }, () => admit("10.0.0.1"));
    expect(places.every(isPlace)).toBe(true);
    expect(admit("10.0.0.1")).toBe("too-many-from-address");
    const others = Array.from({ length: 60 }, (_, i) => admit(`10.0.1.${i}`));
    expect(others.filter(isPlace).length).toBe(56);
    expect(others.at(-1)).toBe("too-many");
    for (const place of places.filter(isPlace)) {
      place[Symbol.dispose]();
      place[Symbol.dispose](); // twice is harmless
    }
    expect(admission.inHandshake).toBe(56);
    expect(isPlace(admit("10.0.0.1"))).toBe(true);
  });

  test("who offers wrong passwords has few connections in a while, and takes no places from others", async () => {
    const { clock, admission, admit } = admissionOf();
    const guess = () => {
      const place = admit("10.0.0.1");
      if (typeof place !== "string") place.leaveGuessing();
      return isPlace(place);
    };
    let guesses = 0;
    for (let at = 0; at < 60_000; at += 50) {
      if (guess()) guesses++;
      await clock.advance(50);
    }
    expect(guesses).toBeLessThanOrEqual((8 * 60_000) / GUESS_PAUSE_MS);
    expect(admission.inHandshake).toBe(0);
    expect(isPlace(admit("10.0.0.2"))).toBe(true);
    await clock.advance(GUESS_PAUSE_MS);
    expect(isPlace(admit("10.0.0.1"))).toBe(true);
  });

  test("twenty begin at once, the next ones wait their turn in order", async () => {
    const { clock, begun, admit } = admissionOf();
    for (let i = 0; i < 30; i++) admit(`10.0.0.${i}`);
    await Promise.resolve();
    expect(begun.length).toBe(20);
    await clock.advance(51);
    expect(begun.length).toBe(21);
    await clock.advance(9 * 50);
    expect(begun).toEqual(Array.from({ length: 30 }, (_, i) => `10.0.0.${i}`));
  });

  test("who leaves while waiting is not begun", async () => {
    const { clock, begun, admit, admission } = admissionOf({ burst: 1 });
    admit("first");
    const place = admit("second");
    admit("third");
    if (isPlace(place)) place[Symbol.dispose]();
    await clock.advance(500);
    expect(begun).toEqual(["first", "third"]);
    admission.close();
  });

  test("after close nobody begins", async () => {
    const { clock, begun, admit, admission } = admissionOf({ burst: 1 });
    admit("first");
    admit("second");
    admission.close();
    await clock.advance(500);
    expect(begun).toEqual(["first"]);
  });
});
