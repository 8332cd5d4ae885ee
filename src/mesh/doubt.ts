// SPDX-License-Identifier: Apache-2.0
// Doubt about ourselves, as in Lifeguard (Dadgar, Phillips, Currey 2017): a host that was starved or stopped, or that lost its own
// uplink, hears nobody and must not take healthy neighbours for dead.
import type { Clock, Instant } from "../runtime/clock.ts";

/** A timer this much late means that we did not run. */
const LATE_MS = 150;
/** After a stall, answers may still wait in socket buffers, behind the timers that fire first. */
const SETTLE_MS = 300;
/** Patience while all probed neighbours are silent: our own network is the likelier cause. */
const WIDENED = 2.5;

export class Doubt {
  readonly #clock: Clock;
  readonly #missing = new Map<object, Instant>();
  readonly #onFirstMissing: () => void;
  #stalledUntil: Instant = Number.NEGATIVE_INFINITY;
  #answeredAt: Instant = Number.NEGATIVE_INFINITY;

  /** `onFirstMissing` should probe other neighbours, for a second opinion. */
  constructor(clock: Clock, onFirstMissing: () => void) {
    this.#clock = clock;
    this.#onFirstMissing = onFirstMissing;
  }

  /** Every timer of ours that watches others tells how late it fired. */
  noteLateness(lateMs: number): void {
    if (lateMs > LATE_MS) this.#stalledUntil = this.#clock.now() + SETTLE_MS;
  }

  /** A silence that began before the end of our own stall says nothing. */
  explains(silenceSince: Instant): boolean {
    return silenceSince < this.#stalledUntil;
  }

  /** Somebody answered a probe. */
  answered(): void {
    this.#answeredAt = this.#clock.now();
  }

  /** `prober` has been without an answer since `since`; undefined: no longer. */
  noteMissing(prober: object, since: Instant | undefined): void {
    if (since === undefined) {
      this.#missing.delete(prober);
      return;
    }
    const isFirst = this.#missing.size === 0;
    this.#missing.set(prober, since);
    if (isFirst) this.#onFirstMissing();
  }

  /** Factor for the silence that means dead. */
  patience(): number {
    if (this.#missing.size < 2) return 1;
    const first = Math.min(...this.#missing.values());
    return this.#answeredAt < first ? WIDENED : 1;
  }
}
