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
  readonly #isNeighbour: (host: string) => boolean;
  /** Host -> its last attempt, oldest first. */
  readonly #all = new Map<
    string,
    { readonly address: string; readonly reason: string; readonly sinceMs: number; readonly until: Instant }
  >();

  /** @param isNeighbour whether there is a connection with a peer at this host */
  constructor(clock: Clock, isNeighbour: (host: string) => boolean) {
    this.#clock = clock;
    this.#isNeighbour = isNeighbour;
  }

  /** True when it is news: another host, or another reason than the last time. `gaveUp`: the other end ended the attempt; when two dial each other
   *  one does so because it has the other connection, and then it is none and not kept. */
  add(address: string, reason: string, gaveUp = false): boolean {
    const host = ipOf(address);
    if (gaveUp && this.#isNeighbour(host)) return false;
    const before = this.#all.get(host);
    const sinceMs = before?.reason === reason ? before.sinceMs : this.#clock.wallMs();
    this.#all.delete(host);
    this.#all.set(host, { address, reason, sinceMs, until: this.#clock.now() + KEEP_MS });
    if (this.#all.size > MAX) this.#all.delete(this.#all.keys().next().value!); // not empty: it has more than MAX
    return before === undefined || before.reason !== reason || before.until <= this.#clock.now();
  }

  /** A host was let in. */
  clear(address: string): void {
    this.#all.delete(ipOf(address));
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
