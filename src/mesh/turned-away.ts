// SPDX-License-Identifier: Apache-2.0
// Who tried to connect to us and was turned away lately, so that the reason can be seen at this end too. One entry per host; anybody can make them, so
// they are few and short-lived.
import type { Clock, Instant } from "../runtime/clock.ts";
import { ipOf } from "./address.ts";
import type { ConnectionView } from "./ports.ts";

/** The other end tries again at least once a minute. */
const KEEP_MS = 90_000;
const MAX = 64;

export class TurnedAway {
  readonly #clock: Clock;
  /** Host -> when it was let in last, oldest first. */
  readonly #letIn = new Map<string, Instant>();
  /** Host -> its last attempt, oldest first. */
  readonly #all = new Map<
    string,
    { readonly address: string; readonly reason: string; readonly sinceMs: number; readonly until: Instant }
  >();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An attempt that began at `beganAt` (now, if it is not given) was turned away. True when it is news: another host, or another reason than the last
   *  time; and what began before the host was let in, as an attempt does that the other end gave up for another, is none, and not kept. */
  add(address: string, reason: string, beganAt = this.#clock.now()): boolean {
    const host = ipOf(address);
    const letIn = this.#letIn.get(host);
    if (letIn !== undefined && beganAt < letIn) return false;
    const before = this.#all.get(host);
    const sinceMs = before?.reason === reason ? before.sinceMs : this.#clock.wallMs();
    this.#all.delete(host);
    this.#all.set(host, { address, reason, sinceMs, until: this.#clock.now() + KEEP_MS });
    if (this.#all.size > MAX) this.#all.delete(this.#all.keys().next().value!); // not empty: it has more than MAX
    return before === undefined || before.reason !== reason || before.until <= this.#clock.now();
  }

  /** A host was let in. */
  clear(address: string): void {
    const host = ipOf(address);
    this.#all.delete(host);
    this.#letIn.delete(host);
    this.#letIn.set(host, this.#clock.now());
    if (this.#letIn.size > MAX) this.#letIn.delete(this.#letIn.keys().next().value!); // not empty: it has more than MAX
  }

  list(): ConnectionView[] {
    const now = this.#clock.now();
    for (const [host, { until }] of this.#all) if (until <= now) this.#all.delete(host);
    return Array.from(this.#all.values(), ({ address, reason, sinceMs }) => ({
      address,
      outbound: false,
      state: "failed" as const,
      reason,
      sinceMs,
      passwordUsed: false,
      trusted: false,
      control: "none" as const,
    }));
  }
}
