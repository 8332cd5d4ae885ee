// SPDX-License-Identifier: Apache-2.0
// Two machines with one name: people are told which two. And from records of ours that keep being overbid it is noticed that our own
// identity runs elsewhere too.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { TokenBucket } from "../runtime/token-bucket.ts";
import type { RecordVersion } from "./message.ts";
import type { PeerName } from "./peer-name.ts";
import { formatPeer } from "./peer-name.ts";
import { isLater } from "./record.ts";
import type { Warnings } from "./warnings.ts";

/** Our record is raised above a foreign one at most so often, however the other bids; a few times at once, for leftovers of dead lives. */
const RAISE_PAUSE_MS = 2000;
const RAISES_AT_ONCE = 5;
const FORGET_MS = 120_000;
/** Bidders kept in mind: anybody can make them up. */
const BIDDERS_MAX = 32;
/** A dead process's record turns up in several versions at most in the first moments; a living one bids on. */
const BIDS_OF_A_CLONE = 3;
const BIDDING_MS = 5000;

export interface ConflictPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly warnings: Warnings;
  readonly self: PeerName;
  readonly nickname: string;
  raiseAbove(version: number): void;
  /** Addresses under which others are connected to our name; ours first. */
  addressesOfUs(): { here: string[]; elsewhere: string[] };
}

export class Conflicts {
  readonly #ports: ConflictPorts;
  readonly #quick: TokenBucket;
  readonly #bids = new Map<string, { count: number; version: number; since: Instant; at: Instant }>();
  #raisedAt: Instant = Number.NEGATIVE_INFINITY;
  #pending: { timer: Disposable; version: number } | undefined;

  constructor(ports: ConflictPorts) {
    this.#ports = ports;
    this.#quick = new TokenBucket(ports.clock, { burst: RAISES_AT_ONCE, refillMs: 2 * RAISE_PAUSE_MS });
  }

  /** Two machines claim one name: tells our people. */
  warn(reason: string): void {
    if (this.#ports.warnings.raise(reason, reason)) this.#ports.log.warn("peers collide", { reason });
  }

  /** Somebody holds a record of our name that we did not make: of our last life, of a clone that is alive, or made up. */
  ownSeen(seen: RecordVersion): void {
    const now = this.#ports.clock.now();
    for (const [uid, bid] of this.#bids) if (now - bid.at > FORGET_MS) this.#bids.delete(uid);
    const bid = this.#bids.get(seen.uid);
    const isBid = bid !== undefined && isLater(seen.version, bid.version);
    if (!bid || isBid) {
      this.#bids.set(seen.uid, { count: (bid?.count ?? 0) + 1, version: seen.version, since: bid?.since ?? now, at: now });
      if (this.#bids.size > BIDDERS_MAX) this.#bids.delete(this.#bids.keys().next().value!); // not empty: it has more than the most
    }
    if (isBid && bid.count + 1 >= BIDS_OF_A_CLONE && now - bid.since > BIDDING_MS) this.#warnOfClone();
    this.#raise(seen.version, now);
  }

  #raise(version: number, now: Instant): void {
    const isBidding = Array.from(this.#bids.values()).some((bid) => bid.count >= BIDS_OF_A_CLONE);
    const dueMs = !isBidding && this.#quick.take() ? 0 : this.#raisedAt + RAISE_PAUSE_MS - now;
    if (dueMs <= 0) {
      this.#raisedAt = now;
      this.#ports.raiseAbove(version);
    } else if (this.#pending) {
      if (isLater(version, this.#pending.version)) this.#pending.version = version;
    } else {
      const timer = this.#ports.clock.after(dueMs, () => this.#raiseNow());
      this.#pending = { timer, version };
    }
  }

  #raiseNow(): void {
    const version = this.#pending?.version ?? 0;
    this.#pending = undefined;
    this.#raisedAt = this.#ports.clock.now();
    this.#ports.raiseAbove(version);
  }

  #warnOfClone(): void {
    const { self, nickname } = this.#ports;
    const { here, elsewhere } = this.#ports.addressesOfUs();
    if (elsewhere.length === 0) return; // nobody is connected to it: these are leftovers of our last life
    const places = `here at ${here.join(", ") || "an unknown address"} and at ${elsewhere.join(", ")}`;
    this.warn(`cloned identity: ${formatPeer(self, nickname)} runs twice, ${places}; run 'weave reset' on one of them`);
  }

  stop(): void {
    this.#pending?.timer[Symbol.dispose]();
  }
}
