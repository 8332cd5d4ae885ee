// SPDX-License-Identifier: Apache-2.0
// The kernel keeps the answer to a path probe in a map and wakes nobody, so the map is looked at while an answer is awaited: often at first,
// because a near neighbour answers within microseconds, then less often, and not at all when nothing is outstanding.
import type { PeerName, ShortId } from "../mesh/peer-name.ts";
import type { Clock, Instant } from "../runtime/clock.ts";

export interface ProbeReply {
  readonly neighbour: ShortId;
  readonly sequence: number;
  readonly rttMs: number;
}
export interface ProbePollerPorts {
  readonly clock: Clock;
  /** What the kernel has received since the last look. */
  replies(): Iterable<ProbeReply>;
  nameOf(neighbour: ShortId): PeerName | undefined;
  answered(peer: PeerName, sequence: number, rttMs: number): void;
}

/** After this an answer counts as lost. */
const PATIENCE_MS = 2_000;
/** Delay to the next look, by the age of the youngest probe. */
const EAGER_MS = 10;
const EAGER_STEP_MS = 0.5;
const CALM_STEP_SHARE = 0.2;
const CALM_STEP_LIMIT_MS = 25;

export class ProbePoller {
  readonly #ports: ProbePollerPorts;
  /** `peer/sequence` -> when it was sent, oldest first. */
  readonly #outstanding = new Map<string, Instant>();
  #youngest: Instant = 0;
  #timer: Disposable | undefined;
  #dueAt: Instant = 0;

  constructor(ports: ProbePollerPorts) {
    this.#ports = ports;
  }

  /** A probe has just been sent. */
  sent(peer: PeerName, sequence: number): void {
    this.#youngest = this.#ports.clock.now();
    this.#outstanding.set(keyOf(peer, sequence), this.#youngest);
    if (this.#timer !== undefined && this.#dueAt <= this.#youngest + EAGER_STEP_MS) return; // many probes must not put it off for ever
    this.#timer?.[Symbol.dispose]();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#outstanding.clear();
  }

  #schedule(): void {
    const now = this.#ports.clock.now();
    const age = now - this.#youngest;
    const delayMs = age < EAGER_MS ? EAGER_STEP_MS : Math.min(CALM_STEP_LIMIT_MS, age * CALM_STEP_SHARE);
    this.#dueAt = now + delayMs;
    this.#timer = this.#ports.clock.after(delayMs, () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    const now = this.#ports.clock.now();
    for (const { neighbour, sequence, rttMs } of this.#ports.replies()) {
      const peer = this.#ports.nameOf(neighbour);
      if (peer === undefined) continue;
      const key = keyOf(peer, sequence);
      const sentAt = this.#outstanding.get(key);
      if (sentAt === undefined) continue;
      this.#outstanding.delete(key);
      // The time it was sent came back with the answer, so the neighbour could have written any; patience with it depends on this.
      this.#ports.answered(peer, sequence, Math.min(rttMs, now - sentAt));
    }
    for (const [key, sentAt] of this.#outstanding) if (now - sentAt > PATIENCE_MS) this.#outstanding.delete(key);
    // Answering may have sent further probes, which armed the timer already.
    if (this.#outstanding.size > 0 && this.#timer === undefined) this.#schedule();
  }
}

function keyOf(peer: PeerName, sequence: number): string {
  return `${peer}/${sequence}`;
}
