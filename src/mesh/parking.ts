// SPDX-License-Identifier: Apache-2.0
// Connections that wait for an answer: somebody else of the same name may be alive, and is asked before this one is let in or refused.
import type { Clock } from "../runtime/clock.ts";
import type { PeerName } from "./peer-name.ts";
import type { Link } from "./ports.ts";

/** Time for the other one to answer. */
export const ASK_MS = 1000;

export interface Parked {
  readonly link: Link;
  /** What the other one's answer must carry; answers to earlier questions may still be under way. */
  readonly token: number;
  /** The other one answered; or nobody did; or a newer connection of that name waits in its place. */
  resolve(answer: Answer): void;
}
export type Answer = "alive" | "silent" | "superseded";

export class Parking {
  readonly #clock: Clock;
  readonly #waiting = new Map<PeerName, { parked: Parked; timer: Disposable }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One per name. */
  park(name: PeerName, parked: Parked): void {
    this.settle(name, "superseded");
    const timer = this.#clock.after(ASK_MS, () => this.settle(name, "silent"));
    this.#waiting.set(name, { parked, timer });
  }

  /** The link waiting under that name. */
  get(name: PeerName): Parked | undefined {
    return this.#waiting.get(name)?.parked;
  }

  settle(name: PeerName, answer: Answer): void {
    const waiting = this.#waiting.get(name);
    if (!waiting) return;
    this.#waiting.delete(name);
    waiting.timer[Symbol.dispose]();
    waiting.parked.resolve(answer);
  }

  /** Closes all, asking nobody. */
  clear(): void {
    for (const { parked, timer } of this.#waiting.values()) {
      timer[Symbol.dispose]();
      parked.link.close();
    }
    this.#waiting.clear();
  }
}
