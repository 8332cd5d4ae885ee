// SPDX-License-Identifier: Apache-2.0
// Free addresses as sorted runs, so that the lowest free one and the largest run are found without looking at those in use.
import { intersect, type Range, sizeOf } from "./range.ts";

export class FreeRuns {
  readonly #runs: Range[] = [];

  /** @param owned sorted, without overlaps  @param taken addresses inside that are not free, in any order */
  constructor(owned: Iterable<Range>, taken: Iterable<number>) {
    for (const { start, end } of owned) {
      const last = this.#runs[this.#runs.length - 1];
      if (last?.end === start) this.#runs[this.#runs.length - 1] = { start: last.start, end };
      else this.#runs.push({ start, end });
    }
    for (const address of taken) this.take(address);
  }

  /** False: it is not free. */
  take(address: number): boolean {
    const at = this.#find(address);
    const run = this.#runs[at];
    if (!run || run.start > address) return false;
    const pieces = [
      { start: run.start, end: address },
      { start: address + 1, end: run.end },
    ].filter((piece) => sizeOf(piece) > 0);
    this.#runs.splice(at, 1, ...pieces);
    return true;
  }

  /** Makes it free; nothing happens when it is already. */
  put(address: number): void {
    const at = this.#find(address);
    const next = this.#runs[at];
    if (next && next.start <= address) return;
    const before = this.#runs[at - 1];
    const start = before?.end === address ? before.start : address;
    const end = next?.start === address + 1 ? next.end : address + 1;
    const from = start === address ? at : at - 1;
    this.#runs.splice(from, (start === address ? 0 : 1) + (end === address + 1 ? 0 : 1), { start, end });
  }

  has(address: number): boolean {
    const run = this.#runs[this.#find(address)];
    return run !== undefined && run.start <= address;
  }

  lowest(range: Range): number | undefined {
    const run = this.#runs[this.#find(range.start)];
    const found = run && Math.max(run.start, range.start);
    return found !== undefined && found < range.end ? found : undefined;
  }

  /** The longest run inside `range`, the first of several; undefined: none is free there. */
  largest(range: Range): Range | undefined {
    let best: Range | undefined;
    for (let i = this.#find(range.start); i < this.#runs.length && this.#runs[i]!.start < range.end; i++) {
      const run = intersect(this.#runs[i]!, range);
      if (sizeOf(run) > (best ? sizeOf(best) : 0)) best = run;
    }
    return best;
  }

  /** How many are free. */
  count(): number {
    return this.#runs.reduce((sum, run) => sum + sizeOf(run), 0);
  }

  runs(): readonly Range[] {
    return this.#runs;
  }

  /** Index of the first run that ends after `address`. */
  #find(address: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#runs[middle]!.end <= address) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
