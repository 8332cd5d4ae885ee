// SPDX-License-Identifier: Apache-2.0
// Time as an argument. Only this file reads the machine's clocks and arms timers; cores get a `Clock`, tests a virtual one.

/** Milliseconds on a clock that never jumps back; comparable only within one process. */
export type Instant = number;

export interface Clock {
  /** Monotonic time in ms. */
  now(): Instant;
  /** Wall-clock time in ms since 1970, for people and for stored records only. */
  wallMs(): number;
  /** Calls `fire` once after `delayMs`; disposing before that cancels it. */
  after(delayMs: number, fire: () => void): Disposable;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** Calls `tick` whenever the clock passes a multiple of `periodMs`, until disposed; the first time may be any part of a period away. Whatever recurs
 *  on a clock shares its timer, because to wake up costs an idle daemon more than most ticks do. What was missed is not made up for. */
export function every(clock: Clock, periodMs: number, tick: () => void): Disposable {
  let beat = beats.get(clock);
  if (beat === undefined) {
    beat = new Beat(clock);
    beats.set(clock, beat);
  }
  return beat.add(periodMs, tick);
}

interface Recurring {
  readonly periodMs: number;
  readonly tick: () => void;
  due: Instant;
}

/** Timers may fire that early. */
const EARLY_MS = 1;
const beats = new WeakMap<Clock, Beat>();

class Beat {
  readonly #clock: Clock;
  readonly #all = new Set<Recurring>();
  #timer: Disposable | undefined;
  #at: Instant = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(periodMs: number, tick: () => void): Disposable {
    const recurring = { periodMs, tick, due: next(this.#clock.now(), periodMs) };
    this.#all.add(recurring);
    this.#arm();
    return {
      [Symbol.dispose]: () => {
        this.#all.delete(recurring);
        if (this.#all.size === 0) this.#disarm();
      },
    };
  }

  #arm(): void {
    const at = Math.min(...Array.from(this.#all, ({ due }) => due));
    if (at >= this.#at || at === Number.POSITIVE_INFINITY) return;
    this.#disarm();
    this.#at = at;
    this.#timer = this.#clock.after(Math.max(0, Math.ceil(at - this.#clock.now())), () => this.#fire());
  }
  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }

  #fire(): void {
    this.#disarm();
    const now = this.#clock.now() + EARLY_MS;
    try {
      for (const recurring of [...this.#all]) {
        if (recurring.due > now || !this.#all.has(recurring)) continue;
        recurring.due = next(now, recurring.periodMs);
        recurring.tick();
      }
    } finally {
      this.#arm();
    }
  }
}

function next(now: Instant, periodMs: number): Instant {
  return (Math.floor(now / periodMs) + 1) * periodMs;
}
