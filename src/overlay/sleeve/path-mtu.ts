// SPDX-License-Identifier: Apache-2.0
// The largest IP packet that gets through to a neighbour, found by trying (RFC 8899 in spirit): probes of several sizes at once, each a few times,
// then some more between the largest that was answered and the smallest that was not. What ICMP says is not believed. Each direction of a
// connection looks for itself. Time is an argument; `dueAt` says when to call `due`.

/** What common links and tunnels leave, smallest first. */
const SIZES = [576, 1024, 1124, 1200, 1280, 1360, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4000, 8972, 9000] as const;
/** Until an answer says more, packets are not larger. Hardly a path carries less; RFC 8200 asks for 1280. */
export const SAFE_BYTES = 1024;
export const SMALLEST_BYTES = 576;
/** A gap this small is not worth more probes. */
const CLOSE_ENOUGH_BYTES = 8;
/** Sizes tried at once between two. */
const STEPS = 7;
const TRIES = 3;
/** How long an answer is waited for: twice the round trip as measured, within these. */
const WAIT_MIN_MS = 60;
const WAIT_FIRST_MS = 250;
const WAIT_MAX_MS = 1_000;
/** In use: whether the size still gets through is asked so often, whether a larger one does so often. */
export const CHECK_MS = 1_500;
export const GROW_MS = 60_000;
/** Nothing gets through at all: asked again after so long, and after twice that each time. */
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 20_000;

//  settled ──in use──▶ check ──no answer──▶ survey ──tried──▶ between ──close enough──▶ settled
//     ▲  └──in use, rarely─────▶ grow ──────────tried───────────▲
type Phase = "settled" | "check" | "survey" | "grow" | "between";

export class PathMtu {
  readonly #send: (sizeBytes: number) => void;
  #largestBytes: number;
  #phase: Phase = "settled";
  /** Largest size in use; 0: none was answered yet. */
  #best = 0;
  /** Largest answered in this round. */
  #answered = 0;
  /** Smallest that got no answer. */
  #failing: number;
  #asked: number[] = [];
  #tries = 0;
  #askedAt = 0;
  #roundTripMs = 0;
  #dueAt = Number.POSITIVE_INFINITY;
  #againMs = AGAIN_MS;
  #grownAt = Number.NEGATIVE_INFINITY;
  #checkedAt = Number.NEGATIVE_INFINITY;

  /** `largestBytes`: of the underlay's links. */
  constructor(largestBytes: number, send: (sizeBytes: number) => void) {
    this.#largestBytes = Math.max(SMALLEST_BYTES, largestBytes);
    this.#failing = this.#largestBytes + 1;
    this.#send = send;
  }

  /** Size of the largest IP packet to send. */
  get bytes(): number {
    return this.#best === 0 ? Math.min(SAFE_BYTES, this.#largestBytes) : this.#best;
  }
  get dueAt(): number {
    return this.#dueAt;
  }

  /** The path is new, or another one: every size is asked for. What is in use stays until the answers are there. */
  start(now: number): void {
    this.#againMs = AGAIN_MS;
    this.#survey(now, this.#largestBytes);
  }
  /** The other end has received a probe of this size. True: `bytes` is another now. */
  answered(sizeBytes: number, now: number): boolean {
    if (sizeBytes > this.#largestBytes || sizeBytes < SMALLEST_BYTES) return false;
    this.#measure(now - this.#askedAt);
    this.#againMs = AGAIN_MS;
    this.#answered = Math.max(this.#answered, sizeBytes);
    this.#asked = this.#asked.filter((size) => size > sizeBytes);
    const isLarger = sizeBytes > this.#best;
    if (isLarger) this.#best = sizeBytes;
    if (this.#failing <= sizeBytes) this.#failing = this.#largestBytes + 1;
    if (this.#phase !== "settled" && this.#asked.length === 0) this.#roundOver(now);
    return isLarger;
  }
  /** Our own link does not take packets of this size. True: `bytes` is another now. */
  refused(sizeBytes: number, now: number): boolean {
    this.#failing = Math.min(this.#failing, sizeBytes);
    this.#asked = this.#asked.filter((size) => size < sizeBytes);
    if (this.#best < sizeBytes) return false;
    this.#best = 0;
    this.#phase = "survey";
    this.#asked = SIZES.filter((size) => size < sizeBytes);
    this.#answered = 0;
    this.#tries = -1;
    this.#dueAt = now; // not from here, as above
    return true;
  }
  /** Packets of nearly the full size are being sent. Sends nothing itself: this is in the middle of sending. */
  inUse(now: number): void {
    if (this.#phase === "settled" && this.#best > 0 && now - this.#checkedAt >= CHECK_MS) this.#dueAt = now;
  }
  /** `dueAt` has come. True: `bytes` is another now. */
  due(now: number): boolean {
    if (now < this.#dueAt) return false;
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#phase === "settled") {
      if (this.#best === 0) this.#survey(now, this.#largestBytes);
      else if (now - this.#grownAt >= GROW_MS && this.#best < this.#largestBytes) this.#grow(now);
      else this.#ask("check", [this.#best], now);
      return false;
    }
    // One lost check is answered with a look at all sizes at once, so that a path that became smaller costs little time.
    if (this.#phase === "check") this.#survey(now, this.#best);
    else if (++this.#tries < TRIES) {
      this.#askAgain(now);
      return this.#phase === "survey" && this.#shrink();
    } else return this.#roundOver(now);
    return false;
  }
  /** What was answered gets through for certain. If larger ones do too, their answers come with the next tries. */
  #shrink(): boolean {
    if (this.#answered === 0 || this.#answered >= this.#best) return false;
    this.#best = this.#answered;
    return true;
  }

  #survey(now: number, largestBytes: number): void {
    this.#grownAt = now;
    this.#failing = this.#largestBytes + 1;
    const sizes = SIZES.filter((size) => size < largestBytes);
    this.#ask("survey", [...sizes, largestBytes], now);
  }
  #grow(now: number): void {
    this.#grownAt = now;
    this.#failing = this.#largestBytes + 1;
    const sizes = SIZES.filter((size) => size > this.#best && size < this.#largestBytes);
    this.#ask("grow", [...sizes, this.#largestBytes], now);
  }
  #ask(phase: Phase, sizes: number[], now: number): void {
    this.#phase = phase;
    this.#asked = sizes;
    this.#answered = 0;
    this.#tries = 0;
    this.#askedAt = now;
    this.#askAgain(now);
  }
  #askAgain(now: number): void {
    for (const size of this.#asked) this.#send(size);
    const factor = this.#phase === "check" || this.#tries === 0 ? 1 : 2 ** (this.#tries - 1);
    this.#dueAt = now + this.#waitMs() * factor;
  }
  #waitMs(): number {
    if (this.#roundTripMs === 0) return WAIT_FIRST_MS;
    return Math.min(WAIT_MAX_MS, Math.max(WAIT_MIN_MS, 2 * this.#roundTripMs));
  }

  #roundOver(now: number): boolean {
    const phase = this.#phase;
    const before = this.bytes;
    if (phase === "survey") this.#shrink();
    if (phase !== "check") this.#failing = Math.min(this.#failing, ...this.#asked.filter((size) => size > this.#best));
    if (phase === "survey" && this.#answered === 0) this.#nothing(now);
    else if (phase === "check") this.#settle(now);
    else this.#narrow(now);
    return this.bytes !== before;
  }
  #narrow(now: number): void {
    const gap = this.#failing - this.#best;
    if (this.#best >= this.#largestBytes || gap <= CLOSE_ENOUGH_BYTES) {
      this.#settle(now);
      return;
    }
    const step = Math.max(1, Math.floor(gap / (STEPS + 1)));
    const sizes: number[] = [];
    for (let size = this.#best + step; size < this.#failing && sizes.length < STEPS; size += step) sizes.push(size);
    this.#ask("between", sizes, now);
  }
  #settle(now: number): void {
    this.#phase = "settled";
    this.#checkedAt = now;
    this.#asked = [];
    this.#dueAt = Number.POSITIVE_INFINITY;
  }
  /** Not even the smallest got through: that says nothing about sizes. */
  #nothing(now: number): void {
    this.#settle(now);
    if (this.#best === 0) this.#dueAt = now + this.#againMs;
    this.#againMs = Math.min(AGAIN_MAX_MS, this.#againMs * 2);
  }
  /** An answer may belong to an earlier try, so this is the most it took. */
  #measure(tookMs: number): void {
    if (this.#asked.length === 0) return;
    this.#roundTripMs = this.#roundTripMs === 0 ? Math.max(1, tookMs) : this.#roundTripMs * 0.75 + tookMs * 0.25;
  }
}
