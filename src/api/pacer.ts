// SPDX-License-Identifier: Apache-2.0
// Keeps requests of users who may only look from taking the daemon's time. In a large network a page or a template can cost tens of
// milliseconds of the one loop that also keeps connections alive; such work gets a share of the time, and whoever asks for more waits.
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";

/** After work of t ms, that much longer than t nothing is begun: a fifth of the time at most. */
const REST_FACTOR = 4;
/** Work this short is not worth a rest. */
const FREE_MS = 2;
const WAITING_LIMIT = 32;

export class Pacer {
  readonly #clock: Clock;
  #notBefore = 0;
  #waiting = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `work` when it is its turn. @throws {UserError} unavailable: too many wait already */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#waiting >= WAITING_LIMIT) {
      throw new UserError("unavailable", "too many requests wait for their turn", "ask less often");
    }
    this.#waiting++;
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      await before;
      await this.#rest();
      return await this.#timed(work);
    } finally {
      this.#waiting--;
      resolve();
    }
  }

  async #rest(): Promise<void> {
    const restMs = this.#notBefore - this.#clock.now();
    if (restMs > 0) await new Promise<void>((resolve) => void this.#clock.after(restMs, resolve));
  }

  async #timed<Result>(work: () => Promise<Result>): Promise<Result> {
    const start = this.#clock.now();
    try {
      return await work();
    } finally {
      const end = this.#clock.now();
      if (end - start > FREE_MS) this.#notBefore = end + (end - start) * REST_FACTOR;
    }
  }
}
