// SPDX-License-Identifier: Apache-2.0
// Rate limit: `burst` at once, then one each `refillMs`.
import type { Clock, Instant } from "./clock.ts";

export class TokenBucket {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #refillMs: number;
  #tokens: number;
  #filledAt: Instant;

  constructor(clock: Clock, options: { burst: number; refillMs: number }) {
    this.#clock = clock;
    this.#burst = options.burst;
    this.#refillMs = options.refillMs;
    this.#tokens = options.burst;
    this.#filledAt = clock.now();
  }
  /** Takes one token, or says no. */
  take(): boolean {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) / this.#refillMs);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
