// SPDX-License-Identifier: Apache-2.0
// How many inbound connections may be in their handshake, in all and from one address, and how fast they may begin it. Those admitted too
// fast wait for their turn unread, so a burst of honest peers is slowed down instead of refused. Who offered a wrong password keeps its
// address's place for a while, so that one machine cannot guess at the full rate.
import type { Clock } from "../runtime/clock.ts";
import { TokenBucket } from "../runtime/token-bucket.ts";

export interface AdmissionLimits {
  readonly total: number;
  readonly perAddress: number;
  /** Handshakes that may begin at once, and one more each `refillMs`. */
  readonly burst: number;
  readonly refillMs: number;
}
export const ADMISSION_LIMITS: AdmissionLimits = { total: 64, perAddress: 8, burst: 20, refillMs: 50 };
/** Eight places come back at this pace: a machine has less than two guessing connections in a second, a peer with an old password needs fewer. */
export const GUESS_PAUSE_MS = 5_000;

export type AdmissionRefusal = "too-many" | "too-many-from-address";

/** Dispose it when the handshake is over, or the connection, whichever comes first. */
export interface Place extends Disposable {
  /** Instead, when a wrong password was offered. */
  leaveGuessing(): void;
}

interface Waiting {
  begin(): void;
}

export class Admission {
  readonly #clock: Clock;
  readonly #limits: AdmissionLimits;
  readonly #bucket: TokenBucket;
  readonly #perAddress = new Map<string, number>();
  readonly #waiting = new Set<Waiting>();
  #total = 0;
  #turn: Disposable | undefined;
  readonly #pauses = new Set<Disposable>();

  constructor(clock: Clock, limits: AdmissionLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#bucket = new TokenBucket(clock, limits);
  }
  get inHandshake(): number {
    return this.#total;
  }
  /** Calls `begin` now or at its turn. */
  admit(address: string, begin: () => void): AdmissionRefusal | Place {
    if (this.#total >= this.#limits.total) return "too-many";
    const fromAddress = this.#perAddress.get(address) ?? 0;
    if (fromAddress >= this.#limits.perAddress) return "too-many-from-address";
    this.#total++;
    this.#perAddress.set(address, fromAddress + 1);
    const entry: Waiting = { begin };
    const place = this.#placeOf(address, entry);
    this.#waiting.add(entry);
    this.#serve();
    return place;
  }
  close(): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = undefined;
    this.#waiting.clear();
    for (const pause of this.#pauses) pause[Symbol.dispose]();
    this.#pauses.clear();
  }

  #placeOf(address: string, entry: Waiting): Place {
    let isGone = false;
    const leave = (freeAddress: () => void): void => {
      if (isGone) return;
      isGone = true;
      this.#total--;
      this.#waiting.delete(entry);
      freeAddress();
    };
    return {
      [Symbol.dispose]: () => leave(() => this.#freeAddress(address)),
      leaveGuessing: () => leave(() => this.#freeLater(address)),
    };
  }
  #freeAddress(address: string): void {
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, left);
  }
  #freeLater(address: string): void {
    const pause = this.#clock.after(GUESS_PAUSE_MS, () => {
      this.#pauses.delete(pause);
      this.#freeAddress(address);
    });
    this.#pauses.add(pause);
  }
  /** In order of arrival, as far as the tokens reach. `begin` runs after `admit` has returned. */
  #serve(): void {
    for (const entry of this.#waiting) {
      if (!this.#bucket.take()) {
        this.#turn ??= this.#clock.after(this.#limits.refillMs, () => {
          this.#turn = undefined;
          this.#serve();
        });
        return;
      }
      this.#waiting.delete(entry);
      queueMicrotask(() => entry.begin());
    }
  }
}
