// SPDX-License-Identifier: Apache-2.0
// Round-trip times, smoothed, and the coarse class of them that is worth telling everyone: it changes rarely.

const SMOOTHING = 1 / 8;
/** Upper bounds of classes 0 to 6 in ms; a class is left only when its bound is passed by a quarter. */
const BOUNDS_MS = [2, 8, 32, 100, 250, 500, 1000];
const MARGIN = 1.25;

export class Latency {
  #smoothMs: number | undefined;
  #class = 0;

  /** Smoothed round trip; undefined before the first sample. */
  get rttMs(): number | undefined {
    return this.#smoothMs;
  }
  /** 0 (near) .. 7. */
  get class(): number {
    return this.#class;
  }

  /** Adds a sample. True when the class changed. */
  add(rttMs: number): boolean {
    const isFirst = this.#smoothMs === undefined;
    this.#smoothMs = this.#smoothMs === undefined ? rttMs : this.#smoothMs + (rttMs - this.#smoothMs) * SMOOTHING;
    const next = classOf(this.#smoothMs);
    if (next === this.#class) return false;
    const bound = BOUNDS_MS[Math.min(next, this.#class)]!;
    const isClear = next > this.#class ? this.#smoothMs > bound * MARGIN : this.#smoothMs < bound / MARGIN;
    if (!isFirst && !isClear) return false;
    this.#class = next;
    return true;
  }
}

function classOf(rttMs: number): number {
  const found = BOUNDS_MS.findIndex((bound) => rttMs < bound);
  return found < 0 ? BOUNDS_MS.length : found;
}
