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

/** Calls `tick` every `periodMs` until disposed. The next period starts after the tick, so ticks never overlap. */
export function every(clock: Clock, periodMs: number, tick: () => void): Disposable {
  let timer = clock.after(periodMs, fire);
  let stopped = false;
  function fire(): void {
    tick();
    if (!stopped) timer = clock.after(periodMs, fire);
  }
  return {
    [Symbol.dispose]: () => {
      stopped = true;
      timer[Symbol.dispose]();
    },
  };
}
