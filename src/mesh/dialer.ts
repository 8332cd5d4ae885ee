// SPDX-License-Identifier: Apache-2.0
// Attempts to reach somebody: targets that people named, kept until they are forgotten, and peers that the topology names, kept while
// it does. Each tries its addresses in turn and backs off after failures.
//
//   waiting ──due──▶ dialing ──link──▶ satisfied ──connection lost──▶ waiting
//      ▲                │ error
//      └────back-off────┘            any ──final refusal──▶ given up
import { parseHostPort } from "../net/endpoint.ts";
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { ipOf } from "./address.ts";
import { backoffMs } from "./backoff.ts";
import type { Outcome } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import type { DialResult, Link } from "./ports.ts";

/** Dials at one time; a newcomer to a large mesh has hundreds to make. */
const DIALS_MAX = 32;
/** After a connection was lost. */
const REDIAL_MIN_MS = 50;
const REDIAL_SPREAD_MS = 100;
/** For so long after that its dials are repeated as quickly: a daemon that starts anew is back soon, and a sleeve waits for it. */
const RETURN_MS = 2_000;

type State =
  | { readonly is: "waiting"; readonly at: Instant; readonly retryAtMs: number }
  | { readonly is: "dialing"; readonly address: string }
  | { readonly is: "satisfied" }
  | { readonly is: "given-up" };

export interface Attempt {
  /** The target as its owner wrote it, or `peer` and its name. */
  readonly key: string;
  readonly kind: "target" | "peer";
  /** Whom a target turned out to be; a discovered peer's name from the start. */
  peer: PeerName | undefined;
  state: State;
  failures: number;
  /** Last error; empty: none yet. */
  reason: string;
  /** Wall-clock ms. */
  sinceMs: number;
  lastAddress: string;
}

/** Is that who the attempt is for? A target that was never reached by us is known by its address only. */
export function means(
  attempt: Attempt,
  facts: { readonly name: PeerName; readonly address: string; readonly port: number },
): boolean {
  if (attempt.peer !== undefined) return attempt.peer === facts.name;
  const target = parseHostPort(attempt.key);
  if (target === undefined || ipOf(facts.address) !== target.host) return false;
  return target.port === undefined || target.port === facts.port;
}

interface Slot extends Attempt {
  /** The reason last told; empty: none since it worked. */
  told: string;
  turn: number;
  /** Until then it may just be starting anew. */
  returnsUntil: Instant;
  timer: Disposable | undefined;
  dial: Disposable | undefined;
}

export interface DialerPorts {
  readonly clock: Clock;
  readonly random: Random;
  dial(address: string, done: (result: DialResult) => void): Disposable;
  admit(link: Link, report: (outcome: Outcome) => void): void;
  /** `ip:port` or `host:port`, best first; asked before every dial. */
  addresses(attempt: Attempt): readonly string[];
  /** A control connection to it is open, by whichever way. */
  isSatisfied(attempt: Attempt): boolean;
  /** Set when whoever that is may not become a neighbour. */
  limitReached(attempt: Attempt): string | undefined;
  /** It failed once more; `isNews`: for another reason than before. */
  missed(attempt: Attempt, isNews: boolean): void;
}

export class Dialer {
  readonly #ports: DialerPorts;
  readonly #slots = new Map<string, Slot>();
  #dialing = 0;

  constructor(ports: DialerPorts) {
    this.#ports = ports;
  }

  attempts(): Iterable<Attempt> {
    return this.#slots.values();
  }
  has(key: string): boolean {
    return this.#slots.has(key);
  }

  /** Begins to reach somebody, first after `delayMs`; again when it was given up. */
  want(key: string, kind: Attempt["kind"], peer: PeerName | undefined, delayMs = 0): void {
    const known = this.#slots.get(key);
    if (known && known.state.is !== "given-up") return;
    const sinceMs = this.#ports.clock.wallMs();
    const slot: Slot = {
      key,
      kind,
      peer,
      state: { is: "satisfied" },
      failures: 0,
      reason: "",
      sinceMs,
      lastAddress: "",
      told: "",
      turn: 0,
      returnsUntil: Number.NEGATIVE_INFINITY,
      timer: undefined,
      dial: undefined,
    };
    this.#slots.set(key, slot);
    if (!this.#ports.isSatisfied(slot)) this.#wait(slot, delayMs);
  }

  drop(key: string): void {
    const slot = this.#slots.get(key);
    if (!slot) return;
    this.#slots.delete(key);
    this.#cancel(slot);
  }

  /** A sign of life of whoever matches: tried at once, the back-off forgotten. A target that was given up stays so. */
  wake(matches: (attempt: Attempt) => boolean): void {
    for (const slot of this.#slots.values()) {
      const isGivenUp = slot.state.is === "given-up" && slot.kind === "peer";
      if ((slot.state.is !== "waiting" && !isGivenUp) || !matches(slot)) continue;
      slot.failures = 0;
      this.#wait(slot, 0);
    }
  }

  /** Control connections came or went: who is connected needs no dialling, who was is dialled again shortly. */
  refresh(): void {
    for (const slot of this.#slots.values()) {
      const isSatisfied = this.#ports.isSatisfied(slot);
      if (isSatisfied && slot.state.is === "waiting") {
        this.#cancel(slot);
        this.#enter(slot, { is: "satisfied" });
      }
      if (!isSatisfied && slot.state.is === "satisfied") {
        if (slot.failures === 0) slot.returnsUntil = this.#ports.clock.now() + RETURN_MS;
        this.#wait(slot, slot.failures > 0 ? backoffMs(this.#ports.random, slot.failures) : this.#shortPauseMs());
      }
    }
  }

  /** The connection ended before the other end had admitted it. */
  refused(peer: PeerName, reason: string, isFinal: boolean): void {
    for (const slot of this.#slots.values())
      if (slot.peer === peer && slot.state.is === "satisfied") this.#fail(slot, reason, isFinal);
  }

  /** Whoever matches was connected, and admitted at the other end: what failed before is over, and would be news again. */
  worked(matches: (attempt: Attempt) => boolean): void {
    for (const slot of this.#slots.values()) {
      if (!matches(slot)) continue;
      slot.failures = 0;
      slot.reason = "";
      slot.told = "";
    }
  }

  stop(): void {
    for (const slot of this.#slots.values()) this.#cancel(slot);
    this.#slots.clear();
  }

  #enter(slot: Slot, state: State): void {
    slot.state = state;
    slot.sinceMs = this.#ports.clock.wallMs();
  }

  #cancel(slot: Slot): void {
    slot.timer?.[Symbol.dispose]();
    slot.timer = undefined;
    if (slot.dial) {
      slot.dial[Symbol.dispose]();
      slot.dial = undefined;
      this.#dialing--;
    }
  }

  #wait(slot: Slot, pauseMs: number): void {
    const { clock } = this.#ports;
    this.#cancel(slot);
    this.#enter(slot, { is: "waiting", at: clock.now() + pauseMs, retryAtMs: clock.wallMs() + pauseMs });
    slot.timer = clock.after(pauseMs, () => this.#due(slot));
  }

  #due(slot: Slot): void {
    slot.timer = undefined;
    if (this.#ports.isSatisfied(slot)) {
      this.#enter(slot, { is: "satisfied" });
      return;
    }
    if (this.#dialing >= DIALS_MAX) {
      this.#wait(slot, 20 + this.#ports.random.below(50));
      return;
    }
    const limit = this.#ports.limitReached(slot);
    const addresses = this.#ports.addresses(slot);
    const address = addresses[slot.turn++ % Math.max(1, addresses.length)];
    if (limit !== undefined) this.#fail(slot, limit, false);
    else if (address === undefined) this.#fail(slot, "no address known", false);
    else this.#dial(slot, address, addresses.length);
  }

  #dial(slot: Slot, address: string, choices: number): void {
    slot.lastAddress = address;
    this.#enter(slot, { is: "dialing", address });
    this.#dialing++;
    slot.dial = this.#ports.dial(address, (result) => {
      slot.dial = undefined;
      this.#dialing--;
      if ("error" in result) this.#missed(slot, result.error, choices);
      else this.#reached(slot, result.link);
    });
  }

  /** The other addresses of one peer are tried without a pause. */
  #missed(slot: Slot, reason: string, choices: number): void {
    if (slot.turn % choices !== 0) {
      slot.reason = reason;
      this.#wait(slot, 0);
    } else if (this.#ports.clock.now() < slot.returnsUntil) {
      slot.reason = reason;
      this.#wait(slot, this.#shortPauseMs());
    } else this.#fail(slot, reason, false);
  }
  #shortPauseMs(): number {
    return REDIAL_MIN_MS + this.#ports.random.below(REDIAL_SPREAD_MS);
  }

  #reached(slot: Slot, link: Link): void {
    if (slot.kind === "target") slot.peer = link.hello.name;
    slot.lastAddress = link.remoteAddress;
    this.#enter(slot, { is: "satisfied" });
    this.#ports.admit(link, (outcome) => {
      if (this.#slots.get(slot.key) !== slot) return;
      if (outcome.kind !== "refused") {
        slot.reason = "";
        if (slot.state.is === "given-up") this.#enter(slot, { is: "satisfied" });
        this.refresh();
      } else this.#fail(slot, outcome.reason, outcome.isFinal && (slot.kind === "target" || !outcome.isSelf));
    });
  }

  #fail(slot: Slot, reason: string, isFinal: boolean): void {
    slot.reason = reason;
    slot.failures++;
    if (!isFinal) this.#wait(slot, backoffMs(this.#ports.random, slot.failures));
    else {
      this.#cancel(slot);
      this.#enter(slot, { is: "given-up" });
    }
    const isNews = slot.told !== reason;
    slot.told = reason;
    this.#ports.missed(slot, isNews);
  }
}
