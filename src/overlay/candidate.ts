// SPDX-License-Identifier: Apache-2.0
// One way to a neighbour and what our probes say of it. It keeps the books; choice.ts asks and decides.
//
//   unavailable ──offered──▶ seeking ──answered──▶ up ──unanswered──▶ down ──answered, several times──▶ up
//        ▲                       │                  │                   │
//        └───────────────────────┴──── withdrawn ───┴───────────────────┘
//
// A path that is up may still lose large packets without a word (a tunnel on the way, ICMP filtered), so it is asked with full-size
// frames too: `size` is unknown, being asked, fitting or small.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { PathKind } from "./plan.ts";

export type CandidateState = "unavailable" | "seeking" | "up" | "down";
export type SizeState = "unknown" | "asking" | "fits" | "small";

/** Answers that a path which was down has to give before it is taken for up. */
const RETURN_ANSWERS = 3;
/** Unanswered probes in a row that make a path in use doubtful, and lost. */
const LOST_PROBES = 5;
/** The youngest of them has had this time for an answer, and at least two round trips. */
const LAST_CHANCE_MS = 80;
const SUSPECT_MS = 200;
/** Of outcomes kept for the loss figure. */
const HISTORY = 32;
/** After this a probe without an answer counts as lost. */
const PATIENCE_MS = 2_000;
const RTT_WEIGHT = 0.125; // as TCP's smoothed round trip (RFC 6298)

interface Asked {
  readonly at: Instant;
  readonly isFullSize: boolean;
}

export class Candidate {
  readonly kind: PathKind;
  /** Why it cannot be used, or is not; empty while it works. */
  reason: string;
  size: SizeState = "unknown";
  /** Full-size frames asked for in a row without an answer. */
  sizeTries = 0;
  /** What the other end says of it; undefined: nothing yet. */
  remoteUp: boolean | undefined;
  /** Grows with each background probe, shrinks when the path has proved itself. */
  retries = 0;
  /** When the next background probe is due. */
  dueAt: Instant = Number.POSITIVE_INFINITY;
  upSince: Instant = 0;
  /** Of the last full-size check, and what had been sent by then. */
  sizedAt: Instant = Number.NEGATIVE_INFINITY;
  sizedBytes = 0;
  readonly #clock: Clock;
  #state: CandidateState = "unavailable";
  #sinceMs: number;
  readonly #asked = new Map<number, Asked>();
  #unanswered: Instant[] = [];
  #answers = 0;
  #rttMs: number | undefined;
  readonly #outcomes: boolean[] = [];

  constructor(kind: PathKind, clock: Clock, reason: string) {
    this.kind = kind;
    this.#clock = clock;
    this.reason = reason;
    this.#sinceMs = clock.wallMs();
  }

  get state(): CandidateState {
    return this.#state;
  }
  /** Wall-clock ms of the last change of state. */
  get sinceMs(): number {
    return this.#sinceMs;
  }
  /** Smoothed; undefined before the first answer. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }
  get loss(): number {
    return this.#outcomes.length === 0 ? 0 : this.#outcomes.filter((isAnswered) => !isAnswered).length / this.#outcomes.length;
  }
  /** Probes may be sent over it. */
  get isOffered(): boolean {
    return this.#state !== "unavailable";
  }
  /** Fit for every frame, as far as we see. */
  get works(): boolean {
    return this.#state === "up" && this.size !== "small";
  }
  /** The other end has not said otherwise. */
  get isUsable(): boolean {
    return this.works && this.remoteUp !== false;
  }

  become(state: CandidateState, reason: string): void {
    this.reason = reason;
    if (state === this.#state) return;
    this.#state = state;
    this.#sinceMs = this.#clock.wallMs();
    this.#answers = 0;
    this.#unanswered = [];
    if (state === "up") this.upSince = this.#clock.now();
    if (state !== "unavailable") return;
    this.#asked.clear();
    this.size = "unknown";
    this.sizeTries = 0;
    this.remoteUp = undefined;
    this.retries = 0;
    this.dueAt = Number.POSITIVE_INFINITY;
  }

  asked(sequence: number, isFullSize: boolean): void {
    const now = this.#clock.now();
    this.#expire(now);
    this.#asked.set(sequence, { at: now, isFullSize });
    // A full-size frame that vanishes says something about its size only.
    if (!isFullSize) this.#unanswered.push(now);
  }

  /** False: not asked, or long ago. `isEnough`: as often as it takes to believe in the path. */
  answered(sequence: number, rttMs: number): { readonly isEnough: boolean; readonly isFullSize: boolean } | undefined {
    const asked = this.#asked.get(sequence);
    if (!asked) return undefined;
    this.#asked.delete(sequence);
    this.#note(true);
    this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs + (rttMs - this.#rttMs) * RTT_WEIGHT;
    this.#unanswered = this.#unanswered.filter((at) => at > asked.at);
    this.#answers++;
    return { isEnough: this.#state === "seeking" || this.#answers >= RETURN_ANSWERS, isFullSize: asked.isFullSize };
  }

  /** A probe has been out for suspiciously long: the others are worth a look. */
  get isDoubtful(): boolean {
    const [first] = this.#unanswered;
    return first !== undefined && this.#clock.now() - first >= Math.max(SUSPECT_MS, 2 * (this.#rttMs ?? 0));
  }
  /** So many probes in a row were not answered that it cannot be chance. */
  get isLost(): boolean {
    const counted = this.#unanswered.filter((at) => this.#clock.now() - at >= Math.max(LAST_CHANCE_MS, 2 * (this.#rttMs ?? 0)));
    return counted.length >= LOST_PROBES;
  }

  #expire(now: Instant): void {
    for (const [sequence, { at, isFullSize }] of this.#asked) {
      if (now - at < PATIENCE_MS) return; // in the order they were sent
      this.#asked.delete(sequence);
      if (!isFullSize) this.#note(false);
    }
  }
  #note(isAnswered: boolean): void {
    this.#outcomes.push(isAnswered);
    if (this.#outcomes.length > HISTORY) this.#outcomes.shift();
  }
}
