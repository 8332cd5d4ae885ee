// SPDX-License-Identifier: Apache-2.0
// How long to wait before trying again: doubling from 1 s to 60 s, with jitter so that many who failed together do not return together.
import type { Random } from "../runtime/random.ts";

const FIRST_MS = 1000;
const LAST_MS = 60_000;

/** Pause after the `failures`-th failure in a row (1 and up), in ms: between half of the step and the whole. */
export function backoffMs(random: Random, failures: number): number {
  const step = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(10, failures - 1));
  return Math.round(step / 2 + random.below(step / 2 + 1));
}
