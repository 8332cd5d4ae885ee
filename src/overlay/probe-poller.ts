// SPDX-License-Identifier: Apache-2.0
// The kernel keeps the answer to a path probe in a map and wakes nobody, so the map is looked at while an answer is awaited: often at first,
// because a near neighbour answers within microseconds, then less often, and not at all when nothing is outstanding.
import type { ShortId } from "../mesh/peer-name.ts";
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
  answered(sequence: number, rttMs: number): void;
  /** No answer is expected any more. */
  expired(sequence: number): void;
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
  /** Sequence -> to whom and when it was sent, oldest first. */
  readonly #outstanding = new Map<number, { readonly neighbour: ShortId; readonly sentAt: Instant }>();
  #youngest: Instant = 0;
  #timer: Disposable | undefined;
  #dueAt: Instant = 0;

  constructor(ports: ProbePollerPorts) {
    this.#ports = ports;
  }

  /** A probe has just been sent. */
  sent(neighbour: ShortId, sequence: number): void {
    this.#youngest = this.#ports.clock.now();
    this.#outstanding.set(sequence, { neighbour, sentAt: this.#youngest });
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
    this.#timer = this.#ports.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.look();
      // Answering may have sent further probes, which armed the timer already.
      if (this.#outstanding.size > 0 && this.#timer === undefined) this.#schedule();
    });
  }

  /** Takes what has arrived. */
  look(): void {
    if (this.#outstanding.size === 0) return;
    const now = this.#ports.clock.now();
    for (const { neighbour, sequence, rttMs } of this.#ports.replies()) {
      const probe = this.#outstanding.get(sequence);
      if (probe?.neighbour !== neighbour) continue;
      this.#outstanding.delete(sequence);
      // The time it was sent came back with the answer, so the neighbour could have written any; patience with it depends on this.
      this.#ports.answered(sequence, Math.min(rttMs, now - probe.sentAt));
    }
    for (const [sequence, { sentAt }] of this.#outstanding) {
      if (now - sentAt <= PATIENCE_MS) break; // in the order they were sent
      this.#outstanding.delete(sequence);
      this.#ports.expired(sequence);
    }
  }
}
