// SPDX-License-Identifier: Apache-2.0
// Requests that cannot be answered yet. Each is tried again when something has changed, has a deadline, and ends at once when whoever asked goes away.
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import type { Range } from "./range.ts";

export interface Wish {
  readonly kind: "allocate" | "claim" | "ring";
  /** For status: `web1 10.32.0.0/12`. */
  readonly what: string;
  /** Where an address is wanted; undefined: only the ring is. */
  readonly range: Range | undefined;
  /** True: it is settled. @throws whatever ends it */
  attempt(): boolean;
  /** Why it has to end now. */
  late(): UserError;
}

interface Entry {
  readonly wish: Wish;
  end(error: unknown): void;
  done(): void;
}

export class WaitingList {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wishes(): Wish[] {
    return Array.from(this.#entries, ({ wish }) => wish);
  }

  /** Resolves when `attempt` returned true. @throws what `attempt` throws, `late()` after `deadlineMs`, or that whoever asked has gone */
  add(wish: Wish, deadlineMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(gone(wish));
    return new Promise<void>((resolve, reject) => {
      const close = (): void => {
        this.#entries.delete(entry);
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", abort);
      };
      const entry: Entry = {
        wish,
        end: (error) => {
          close();
          reject(error);
        },
        done: () => {
          close();
          resolve();
        },
      };
      const abort = (): void => entry.end(gone(wish));
      const timer = this.#clock.after(deadlineMs, () => entry.end(wish.late()));
      signal?.addEventListener("abort", abort);
      this.#entries.add(entry);
    });
  }

  /** Tries again those that `concerns` picks. */
  retry(concerns: (wish: Wish) => boolean = () => true): void {
    for (const entry of [...this.#entries]) {
      if (!this.#entries.has(entry) || !concerns(entry.wish)) continue;
      try {
        if (entry.wish.attempt()) entry.done();
      } catch (thrown) {
        entry.end(thrown);
      }
    }
  }

  /** Ends those that `concerns` picks. */
  end(concerns: (wish: Wish) => boolean, why: (wish: Wish) => UserError): void {
    for (const entry of [...this.#entries]) if (concerns(entry.wish)) entry.end(why(entry.wish));
  }
}

function gone(wish: Wish): UserError {
  return new UserError("unavailable", `cancelled: nobody waits for '${wish.what}' any more`);
}
