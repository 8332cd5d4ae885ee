// SPDX-License-Identifier: Apache-2.0
// Which way frames take to one neighbour. Candidates stand in order of preference. The one in use is asked whenever the mesh wants a sign
// of life; a better one that does not work is asked in the background, for ever, ever more slowly; the sleeve, which costs something
// while it is there, is opened when it is needed and let go when a better way has proved itself.
//
// Both ends tell each other what works for them, because a way is good only in both directions.
import type { ProbeManner } from "../mesh/ports.ts";
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { Candidate } from "./candidate.ts";
import type { PathKind } from "./plan.ts";

/** Pauses between background probes of a way that does not work; the last one repeats, ±10 %. */
const RETRY_MS = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 20_000];
/** Between the probes of a way that begins to answer again. */
const CONFIRM_MS = 30;
/** A way that lasted so long has proved itself: its next failure begins with short pauses again, and the sleeve is let go. */
const PROVED_MS = 60_000;
/** A new connection tries its best way for so long before the sleeve is opened beside it: longer than a busy host takes to answer, because the sleeve
 *  would make it busier. */
const HEAD_START_MS = 1_000;
/** That the other end gets no answers is believed after this, while our own probes are answered: it may be old news that waited for TCP. */
const DOUBT_MS = 250;
/** An answer this young is a sign of life. */
const FRESH_MS = 300;
/** Pauses after each full-size frame without an answer; then the way is too small. */
const SIZE_WAIT_MS = [60, 150, 350, 600];
/** Full-size frames are asked for again after so much traffic, and from time to time anyway. */
const RESIZE_BYTES = 64 * 1024;
const RESIZE_MS = 3_000;
const RESIZE_IDLE_MS = 10 * 60_000;

export interface ChoicePorts {
  readonly clock: Clock;
  readonly random: Random;
  /** Sends one probe. Returns its number. */
  send(kind: PathKind, isFullSize: boolean, manner: ProbeManner): number;
  /** Reads answers that have arrived and not been told. */
  look(): void;
  /** The way in use works. */
  alive(rttMs: number): void;
  /** The way in use is another now, or there is one for the first time. */
  changed(from: PathKind | undefined, to: PathKind, reason: string): void;
  /** A way works now, or no longer, as far as this end sees: the other end should know. */
  tell(kind: PathKind, isUp: boolean): void;
  /** The sleeve is needed, or not any more. */
  sleeve(need: "wanted" | "idle"): void;
  /** Bytes handed to the neighbour, as far as somebody has looked. */
  sentBytes(): number;
}

export class PathChoice {
  readonly #ports: ChoicePorts;
  readonly #candidates: readonly Candidate[];
  #used: Candidate | undefined;
  #usedSinceMs: number;
  #timer: Disposable | undefined;
  #timerAt: Instant = Number.POSITIVE_INFINITY;
  /** The other end says that a way, which was in use then, does not work. */
  #doubt: { readonly about: Candidate; readonly timer: Disposable } | undefined;
  #sleeveWanted = false;
  #bornAt: Instant;

  /** `kinds` in order of preference. */
  constructor(kinds: readonly PathKind[], ports: ChoicePorts) {
    this.#ports = ports;
    this.#bornAt = ports.clock.now();
    this.#usedSinceMs = ports.clock.wallMs();
    this.#candidates = kinds.map((kind) => new Candidate(kind, ports.clock, "not offered yet"));
  }

  get used(): PathKind | undefined {
    return this.#used?.kind;
  }
  get usedSinceMs(): number {
    return this.#usedSinceMs;
  }
  get candidates(): readonly Candidate[] {
    return this.#candidates;
  }
  get #best(): Candidate | undefined {
    return this.#candidates[0];
  }

  /** Probes may go this way from now on. */
  offer(kind: PathKind): void {
    const candidate = this.#find(kind);
    if (!candidate || candidate.isOffered) return;
    candidate.become("seeking", "not answered yet");
    this.#ask(candidate);
    this.#retry(candidate);
    if (this.#used?.isDoubtful) this.probe("urgent");
  }
  /** It cannot be used, for this reason. */
  withdraw(kind: PathKind, reason: string): void {
    const candidate = this.#find(kind);
    if (!candidate) return;
    const didWork = candidate.works;
    candidate.become("unavailable", reason);
    if (didWork) this.#ports.tell(kind, false);
    if (candidate === this.#used) this.#pick(reason);
    else if (!this.#used && candidate === this.#best) this.#wantSleeve();
  }
  /** Why it is not offered yet; it may be soon. */
  explain(kind: PathKind, reason: string): void {
    const candidate = this.#find(kind);
    if (candidate && !candidate.isOffered) candidate.reason = reason;
  }
  /** It was in use when an earlier daemon ended, and the kernel has been using it since. */
  adopt(kind: PathKind): void {
    const candidate = this.#find(kind);
    if (!candidate || this.#used) return;
    candidate.become("up", "");
    this.#use(candidate, "");
  }
  /** What the other end says. */
  remote(kind: PathKind, isUp: boolean): void {
    const candidate = this.#find(kind);
    if (!candidate?.isOffered) return;
    // Also when another way is in use by now: the doubt is older than what is said here.
    if (candidate === this.#doubt?.about) this.#endDoubt();
    if (candidate.remoteUp === isUp) return;
    if (isUp || candidate !== this.#used || !candidate.works) {
      this.#believe(candidate, isUp);
      return;
    }
    this.#endDoubt();
    const timer = this.#ports.clock.after(DOUBT_MS, () => {
      this.#doubt = undefined;
      if (candidate.isOffered) this.#believe(candidate, false);
    });
    this.#doubt = { about: candidate, timer };
  }
  #endDoubt(): void {
    this.#doubt?.timer[Symbol.dispose]();
    this.#doubt = undefined;
  }
  #believe(candidate: Candidate, isUp: boolean): void {
    candidate.remoteUp = isUp;
    if (!isUp && candidate === this.#used) this.#wantSleeve();
    if (isUp && candidate.state !== "up") this.#hurry(candidate);
    this.#pick(isUp ? "" : "the peer gets no answer there");
  }
  /** There is a new control connection: what was said on the last one may not have arrived. */
  restate(): void {
    this.#endDoubt();
    for (const candidate of this.#candidates) {
      candidate.remoteUp = undefined;
      if (candidate.state === "up" || candidate.state === "down") this.#ports.tell(candidate.kind, candidate.works);
    }
    this.#pick("");
  }
  /** Something changed in the network: what did not work may work now. */
  hint(): void {
    for (const candidate of this.#candidates) {
      if (candidate.isOffered && candidate !== this.#used && !candidate.isUsable) this.#hurry(candidate);
    }
  }

  /** The mesh wants a sign of life. */
  probe(manner: ProbeManner): void {
    const used = this.#used;
    if (!used) {
      for (const candidate of this.#candidates) if (candidate.isOffered) this.#ask(candidate);
      if (this.#ports.clock.now() - this.#bornAt >= HEAD_START_MS) this.#wantSleeve();
      return;
    }
    if (used.isLost || used.isDoubtful) this.#ports.look();
    if (used.isLost && used === this.#used) this.#lost(used);
    const now = this.#used;
    if (now) this.#ask(now, false, manner);
    if (used.isDoubtful || now !== used) {
      this.#wantSleeve();
      for (const other of this.#candidates) if (other !== now && other.isOffered) this.#ask(other);
    }
    this.#resize();
  }

  /** An answer to probe `sequence`, which went this way and back. */
  answered(kind: PathKind, sequence: number, rttMs: number): void {
    const candidate = this.#find(kind);
    const answer = candidate?.answered(sequence, rttMs);
    if (!candidate || !answer) return;
    if (answer.isFullSize) this.#fits(candidate);
    if (candidate.state !== "up") {
      if (answer.isEnough) this.#turnedUp(candidate);
      else this.#dueIn(candidate, CONFIRM_MS);
    }
    if (candidate === this.#used) this.#ports.alive(candidate.rttMs ?? rttMs);
  }

  stop(): void {
    this.#endDoubt();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #find(kind: PathKind): Candidate | undefined {
    return this.#candidates.find((candidate) => candidate.kind === kind);
  }

  #ask(candidate: Candidate, isFullSize = false, manner: ProbeManner = "urgent"): void {
    candidate.asked(this.#ports.send(candidate.kind, isFullSize, manner), isFullSize);
  }

  #turnedUp(candidate: Candidate): void {
    const hasProved = candidate.state === "seeking";
    candidate.become("up", "");
    if (hasProved) candidate.retries = 0;
    candidate.dueAt = Number.POSITIVE_INFINITY;
    // The sleeve makes pieces of what is too large, so its size does not matter.
    if (candidate.kind === "sleeve") candidate.size = "fits";
    else this.#askSize(candidate);
    this.#ports.tell(candidate.kind, true);
    this.#pick("");
  }

  /** Its probes are not answered any more. */
  #lost(candidate: Candidate): void {
    // One that was asked at the same time and answered: whether the neighbour lives at all is for the mesh to say.
    const since = candidate.silentSince ?? this.#ports.clock.now();
    if (!this.#candidates.some((other) => other !== candidate && other.isUsable && other.answeredAt >= since)) {
      this.#wantSleeve();
      return;
    }
    this.#fail(candidate, "no answer");
  }
  #fail(candidate: Candidate, reason: string): void {
    if (this.#ports.clock.now() - candidate.upSince >= PROVED_MS) candidate.retries = 0;
    candidate.become("down", reason);
    candidate.size = "unknown";
    this.#ports.tell(candidate.kind, false);
    this.#retry(candidate);
    this.#pick(reason);
  }

  // Full-size frames

  #askSize(candidate: Candidate): void {
    candidate.size = "asking";
    candidate.sizeTries = 0;
    this.#asksSize(candidate);
  }
  #asksSize(candidate: Candidate): void {
    const waitMs = SIZE_WAIT_MS[candidate.sizeTries];
    if (waitMs === undefined) {
      this.#tooSmall(candidate);
      return;
    }
    candidate.sizeTries++;
    candidate.sizedAt = this.#ports.clock.now();
    candidate.sizedBytes = this.#ports.sentBytes();
    this.#ask(candidate, true);
    this.#dueIn(candidate, Math.max(waitMs, 2 * (candidate.rttMs ?? 0)));
  }
  #fits(candidate: Candidate): void {
    const wasSmall = candidate.size === "small";
    candidate.size = "fits";
    candidate.sizeTries = 0;
    candidate.dueAt = Number.POSITIVE_INFINITY;
    if (!wasSmall || candidate.state !== "up") return;
    candidate.reason = "";
    this.#ports.tell(candidate.kind, true);
    this.#pick("");
  }
  #tooSmall(candidate: Candidate): void {
    if (candidate.isDoubtful && candidate !== this.#used) {
      this.#fail(candidate, "no answer"); // the small ones vanish too
      return;
    }
    candidate.size = "small";
    candidate.reason = "large packets do not get through";
    candidate.retries = Math.max(candidate.retries, 5);
    this.#ports.tell(candidate.kind, false);
    this.#retry(candidate);
    this.#wantSleeve();
    this.#pick(candidate.reason);
  }
  #resize(): void {
    const used = this.#used;
    if (used?.state !== "up" || used.size === "asking" || used.size === "small" || used.kind === "sleeve") return;
    const sinceMs = this.#ports.clock.now() - used.sizedAt;
    if (sinceMs < RESIZE_MS) return;
    if (sinceMs > RESIZE_IDLE_MS || this.#ports.sentBytes() - used.sizedBytes > RESIZE_BYTES) this.#askSize(used);
  }

  // Choosing

  #pick(reason: string): void {
    const best = this.#candidates.find((candidate) => candidate.isUsable);
    if (best && best !== this.#used) this.#use(best, reason);
    else if (this.#used && !this.#used.isOffered) this.#used = undefined;
    this.#minded();
  }
  #use(candidate: Candidate, reason: string): void {
    const before = this.#used;
    this.#used = candidate;
    this.#usedSinceMs = this.#ports.clock.wallMs();
    this.#ports.changed(before?.kind, candidate.kind, before ? reason || "a better path works" : "");
    const isFresh = this.#ports.clock.now() - candidate.answeredAt < FRESH_MS;
    if (isFresh && candidate.rttMs !== undefined) this.#ports.alive(candidate.rttMs);
  }

  #wantSleeve(): void {
    if (this.#sleeveWanted || this.#find("sleeve") === undefined) return;
    this.#sleeveWanted = true;
    this.#ports.sleeve("wanted");
  }
  /** The sleeve goes when the best way has proved itself. */
  #minded(): void {
    if (!this.#sleeveWanted || this.#used !== this.#best || this.#used?.kind === "sleeve") return;
    this.#arm(this.#ports.clock.now() + PROVED_MS);
  }

  // Background

  #retry(candidate: Candidate): void {
    const pauseMs = RETRY_MS[Math.min(candidate.retries++, RETRY_MS.length - 1)] ?? 0;
    this.#dueIn(candidate, pauseMs * (0.9 + this.#ports.random.below(200) / 1000));
  }
  #hurry(candidate: Candidate): void {
    candidate.retries = Math.min(candidate.retries, 2);
    this.#dueIn(candidate, 0);
  }
  #dueIn(candidate: Candidate, delayMs: number): void {
    candidate.dueAt = this.#ports.clock.now() + delayMs;
    this.#arm(candidate.dueAt);
  }
  #arm(at: Instant): void {
    if (this.#timer && this.#timerAt <= at) return;
    this.#timer?.[Symbol.dispose]();
    this.#timerAt = at;
    this.#timer = this.#ports.clock.after(Math.max(0, at - this.#ports.clock.now()), () => this.#due());
  }
  #due(): void {
    this.#timer = undefined;
    const now = this.#ports.clock.now();
    this.#ports.look();
    for (const candidate of this.#candidates) {
      if (candidate.dueAt > now || !candidate.isOffered) continue;
      candidate.dueAt = Number.POSITIVE_INFINITY;
      if (candidate.state === "up" && candidate.size === "asking") this.#asksSize(candidate);
      else if (!candidate.works) this.#askAgain(candidate);
    }
    this.#letGo(now);
    const next = Math.min(...this.#candidates.map((candidate) => candidate.dueAt));
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }
  #askAgain(candidate: Candidate): void {
    this.#ask(candidate, candidate.state === "up" && candidate.size === "small");
    this.#retry(candidate);
  }
  #letGo(now: Instant): void {
    const used = this.#used;
    if (!this.#sleeveWanted || used === undefined || used !== this.#best || used.kind === "sleeve") return;
    if (now - used.upSince < PROVED_MS) {
      this.#arm(used.upSince + PROVED_MS);
      return;
    }
    this.#sleeveWanted = false;
    this.#ports.sleeve("idle");
  }
}
