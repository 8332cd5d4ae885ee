// SPDX-License-Identifier: Apache-2.0
// Waiting for a condition with a deadline: the only kind of waiting the tests do.

/** Deadlines are this many times longer: an emulated machine is slow. It changes no result, only how long a wrong one takes. */
export const PATIENCE = Number(process.env["WEAVE_TEST_PATIENCE"] ?? 1);

export interface WaitOptions {
  readonly deadlineMs?: number;
  /** Pause between two looks. */
  readonly everyMs?: number;
  /** What was there instead, for the failure's message. */
  readonly show?: () => unknown;
}

/** Looks until `condition` gives something true, and returns that with the time it took in ms.
 *  @throws {Error} naming `what` when the deadline passes; the last thing the condition threw is the cause */
export async function waitFor<Found>(
  what: string,
  condition: () => Found | Promise<Found>,
  options: WaitOptions = {},
): Promise<{ readonly found: NonNullable<Found>; readonly tookMs: number }> {
  const began = performance.now();
  const deadlineMs = PATIENCE * (options.deadlineMs ?? 10_000);
  let cause: unknown;
  for (;;) {
    try {
      const found = await condition();
      if (found) return { found, tookMs: performance.now() - began };
      cause = undefined;
    } catch (thrown) {
      cause = thrown;
    }
    if (performance.now() - began > deadlineMs) break;
    await Bun.sleep(options.everyMs ?? 10);
  }
  const instead = options.show ? `; instead: ${await describe(options.show)}` : "";
  throw new Error(`not within ${deadlineMs} ms: ${what}${instead}`, { cause });
}

async function describe(show: () => unknown): Promise<string> {
  try {
    const value = await show();
    return typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
  } catch (thrown) {
    return `(${thrown instanceof Error ? thrown.message : String(thrown)})`;
  }
}

/** True when `condition` stays true for the whole time; used where the right outcome is that nothing happens. */
export async function staysFor(durationMs: number, condition: () => boolean | Promise<boolean>, everyMs = 20): Promise<boolean> {
  const end = performance.now() + durationMs;
  while (performance.now() < end) {
    if (!(await condition())) return false;
    await Bun.sleep(everyMs);
  }
  return true;
}
