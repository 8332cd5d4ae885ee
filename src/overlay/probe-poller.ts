// SPDX-License-Identifier: Apache-2.0
// The kernel keeps the answer to a path probe in a map and wakes nobody, so the map is looked at while an answer is awaited: often at first,
// because a near neighbour answers within microseconds, then less often, and not at all when nothing is outstanding. For the answer to a calm probe
// nobody hurries: a near neighbour's is found by who looks before going back to sleep, others' 200 ms later.
import type { ShortId } from "../mesh/peer-name.ts";
import type { ProbeManner } from "../mesh/ports.ts";
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
/** Delay to the next look, by the age of the youngest urgent probe. */
const EAGER_MS = 10;
const EAGER_STEP_MS = 0.5;
const LATER_STEP_SHARE = 0.2;
const LATER_STEP_LIMIT_MS = 25;
/** And while only calm ones are awaited. */
const CALM_STEP_MS = 200;

export class ProbePoller {
  readonly #ports: ProbePollerPorts;
  /** Sequence -> to whom and when it was sent, oldest first. */
  readonly #outstanding = new Map<number, { readonly neighbour: ShortId; readonly sentAt: Instant }>();
  /** When the youngest of the urgent ones was sent. */
  #urgentAt: Instant = Number.NEGATIVE_INFINITY;
  #timer: Disposable | undefined;
  #dueAt: Instant = 0;

  constructor(ports: ProbePollerPorts) {
    this.#ports = ports;
  }

  /** A probe has just been sent. */
  sent(neighbour: ShortId, sequence: number, manner: ProbeManner): void {
    const now = this.#ports.clock.now();
    this.#outstanding.set(sequence, { neighbour, sentAt: now });
    if (manner === "urgent") this.#urgentAt = now;
    const firstMs = manner === "urgent" ? EAGER_STEP_MS : CALM_STEP_MS;
    if (this.#timer !== undefined && this.#dueAt <= now + firstMs) return; // many probes must not put it off for ever
    this.#arm(firstMs);
  }

  stop(): void {
    this.#disarm();
    this.#outstanding.clear();
  }

  #arm(delayMs: number): void {
    this.#disarm();
    this.#dueAt = this.#ports.clock.now() + delayMs;
    this.#timer = this.#ports.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.look();
      // Answering may have sent further probes, which armed the timer already.
      if (this.#outstanding.size > 0 && this.#timer === undefined) this.#arm(this.#nextMs());
    });
  }
  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
  #nextMs(): number {
    const ageMs = this.#ports.clock.now() - this.#urgentAt;
    if (ageMs > PATIENCE_MS) return CALM_STEP_MS; // those that are awaited are calm ones
    return ageMs < EAGER_MS ? EAGER_STEP_MS : Math.min(LATER_STEP_LIMIT_MS, ageMs * LATER_STEP_SHARE);
  }

  /** Takes what has arrived. */
  look(): void {
    if (this.#outstanding.size === 0) return;
    this.#take();
    if (this.#outstanding.size === 0) this.#disarm();
  }
  #take(): void {
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
