// SPDX-License-Identifier: Apache-2.0
// Keeps the kernel what it should be: after the kernel tells of a change, and every 30 seconds. One pass at a time; changes during a pass lead
// to one more. What was repaired is counted and logged.
import type { KernelChange } from "../host/kernel-watch.ts";
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

export interface SupervisorPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly repairs: Counter;
  /** Devices, programs, ports, addresses, maps. Returns what was repaired, in words. */
  repair(): Promise<readonly string[]>;
  /** The underlay may have changed. */
  underlayChanged(): void;
}

const PERIOD_MS = 30_000;
/** Passes that events ask for are at least this far apart: a host that starts a hundred containers looks twice a second, not a hundred times.
 *  With the pause of `KernelWatch` what somebody broke is mended within a second. */
const EVENT_SPACING_MS = 500;
/** For so long an operator is told what was repaired last. */
const TOLD_MS = 10 * 60_000;

export class Supervisor {
  readonly #ports: SupervisorPorts;
  #timer: Disposable | undefined;
  #lastPass: Instant = Number.NEGATIVE_INFINITY;
  #running = false;
  #again = false;
  #stopped = false;
  #count = 0;
  #last: { readonly reason: string; readonly at: Instant } | undefined;

  constructor(ports: SupervisorPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#arm(PERIOD_MS);
  }
  stop(): void {
    this.#stopped = true;
    this.#timer?.[Symbol.dispose]();
  }

  /** What somebody broke lately, in words. */
  notes(): readonly string[] {
    const agoMs = this.#last && this.#ports.clock.now() - this.#last.at;
    if (this.#last === undefined || agoMs === undefined || agoMs > TOLD_MS) return [];
    const { reason } = this.#last;
    return [`repaired ${Math.round(agoMs / 1000)} s ago: ${reason} (${this.#count} repairs since the start; see the log)`];
  }

  /** The kernel told of changes. */
  changed(changes: ReadonlySet<KernelChange>): void {
    if (this.#stopped) return;
    if (changes.has("underlay")) this.#ports.underlayChanged();
    if (!changes.has("ours")) return;
    if (this.#running) this.#again = true;
    else this.#arm(Math.max(0, this.#lastPass + EVENT_SPACING_MS - this.#ports.clock.now()));
  }

  async pass(): Promise<void> {
    this.#running = true;
    const isFirst = this.#lastPass === Number.NEGATIVE_INFINITY; // it makes what a boot took away, which is nobody's doing
    this.#timer?.[Symbol.dispose]();
    try {
      for (const repaired of await this.#ports.repair()) {
        this.#ports.repairs.add();
        if (!isFirst) this.#last = { reason: repaired, at: this.#ports.clock.now() };
        if (!isFirst) this.#count++;
        this.#ports.log.warn("repaired", { reason: repaired });
      }
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      this.#ports.log.error("repair failed", { reason: errorText(thrown) });
    }
    this.#running = false;
    this.#lastPass = this.#ports.clock.now();
    if (!this.#stopped) this.#arm(this.#again ? EVENT_SPACING_MS : PERIOD_MS);
    this.#again = false;
  }

  #arm(delayMs: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#ports.clock.after(delayMs, () => void this.pass());
  }
}
