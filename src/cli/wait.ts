// SPDX-License-Identifier: Apache-2.0
// Waiting for a condition with a deadline.
import type { Clock } from "../runtime/clock.ts";

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}

/** Asks every `everyMs` until the answer is not undefined; undefined when `limitMs` have passed. */
export async function until<Found>(
  clock: Clock,
  options: { readonly everyMs: number; readonly limitMs: number },
  ask: () => Promise<Found | undefined> | Found | undefined,
): Promise<Found | undefined> {
  const end = clock.now() + options.limitMs;
  for (;;) {
    const found = await ask();
    if (found !== undefined || clock.now() >= end) return found;
    await pause(clock, options.everyMs);
  }
}
