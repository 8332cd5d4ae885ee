// SPDX-License-Identifier: Apache-2.0
// The largest IP packet that gets through to a neighbour, found by trying (RFC 8899 in spirit): probes of several sizes at once, then the
// gap between the largest that was answered and the smallest that was not is halved. Nothing is believed that ICMP says. Each direction of
// a connection looks for itself. Time is an argument; `due` says when to call again.

/** Where the search begins, smallest first; what common tunnels and links leave. */
const SIZES = [576, 1024, 1124, 1200, 1280, 1360, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 4000, 8972, 9000] as const;
/** Every path of today carries so much (RFC 8200 asks for 1280); until an answer says more we send no larger ones. */
export const SAFE_BYTES = 1024;
const SMALLEST_BYTES = 576;
/** A gap this small is not worth more probes. */
const CLOSE_ENOUGH_BYTES = 8;
const WAIT_MS = 250;
const TRIES = 3;
/** In use: whether the size still gets through is asked so often, whether a larger one does so often. */
const CHECK_MS = 3_000;
const GROW_MS = 60_000;

type Phase = "searching" | "settled" | "checking";

export class PathMtu {
  readonly #largestBytes: number;
  readonly #send: (sizeBytes: number) => void;
  #phase: Phase = "settled";
  #best = 0;
  /** Smallest size that was not answered; beyond the largest at first. */
  #failing: number;
  #asked: number[] = [];
  #tries = 0;
  #dueAt = Number.POSITIVE_INFINITY;
  #searchedAt = 0;
  #checkedAt = 0;

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
  get isKnown(): boolean {
    return this.#best !== 0;
  }
  get dueAt(): number {
    return this.#dueAt;
  }

  start(now: number): void {
    this.#search(now);
  }
  /** The other end has received a probe of this size. True: we can send larger packets than before. */
  answered(sizeBytes: number, now: number): boolean {
    if (sizeBytes > this.#largestBytes || sizeBytes < SMALLEST_BYTES) return false;
    if (this.#phase === "checking" && sizeBytes >= this.#best) this.#settle(now);
    if (sizeBytes <= this.#best) return false;
    this.#best = sizeBytes;
    if (this.#failing <= sizeBytes) this.#failing = this.#largestBytes + 1;
    this.#asked = this.#asked.filter((size) => size > sizeBytes);
    if (this.#asked.length === 0 && this.#phase === "searching") this.#refine(now);
    return true;
  }
  /** Packets of nearly the full size are being sent. */
  inUse(now: number): void {
    if (this.#phase !== "settled") return;
    if (now - this.#searchedAt >= GROW_MS && this.#best < this.#largestBytes) this.#search(now);
    else if (now - this.#checkedAt >= CHECK_MS && this.#best > SMALLEST_BYTES) this.#check(now);
  }
  /** `dueAt` has come. True: the size has become smaller. */
  due(now: number): boolean {
    if (now < this.#dueAt) return false;
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#phase === "settled") return false;
    if (++this.#tries < TRIES) {
      this.#askAgain(now);
      return false;
    }
    if (this.#phase === "checking") return this.#shrink(now);
    this.#failing = Math.min(this.#failing, ...this.#asked);
    this.#refine(now);
    return false;
  }

  #search(now: number): void {
    this.#phase = "searching";
    this.#searchedAt = now;
    this.#failing = this.#largestBytes + 1;
    const sizes = SIZES.filter((size) => size > this.#best && size < this.#largestBytes);
    this.#ask(
      [...sizes, this.#largestBytes].filter((size) => size > this.#best),
      now,
    );
  }
  #refine(now: number): void {
    const gap = this.#failing - this.#best;
    if (this.#best === 0 || gap <= CLOSE_ENOUGH_BYTES || this.#best >= this.#largestBytes) this.#settle(now);
    else this.#ask([this.#best + Math.floor(gap / 2)], now);
  }
  #check(now: number): void {
    this.#phase = "checking";
    this.#ask([this.#best], now);
  }
  #shrink(now: number): boolean {
    this.#best = 0;
    this.#search(now);
    return true;
  }
  #settle(now: number): void {
    this.#phase = "settled";
    this.#checkedAt = now;
    this.#asked = [];
    // Not one was answered, not the smallest either: nothing gets through now, so it is tried again soon.
    if (this.#best === 0) {
      this.#phase = "searching";
      this.#tries = -1;
      this.#asked = [SAFE_BYTES, SMALLEST_BYTES];
      this.#dueAt = now + CHECK_MS;
      this.#failing = this.#largestBytes + 1;
    }
  }
  #ask(sizes: number[], now: number): void {
    this.#asked = sizes;
    this.#tries = 0;
    this.#askAgain(now);
  }
  #askAgain(now: number): void {
    for (const size of this.#asked) this.#send(size);
    this.#dueAt = now + WAIT_MS;
  }
}
