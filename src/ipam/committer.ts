// SPDX-License-Identifier: Apache-2.0
// Puts changes on disk before anybody hears of them: all that happens within one turn of the loop is one commit, one fsync. What depends on it runs
// after it, in order; when it fails, what was given out is taken back, and what was to be told waits for a commit that succeeds.
import type { Clock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

const RETRY_MS = 1_000;
/** News from others are not urgent: they would tell us again. */
const LAZY_MS = 500;

export interface CommitterPorts {
  readonly clock: Clock;
  readonly log: Log;
  /** Writes everything that has changed. @throws {UserError} the disk is full, … */
  write(): void;
}

interface Dependent {
  done(): void;
  /** undefined: it waits for the next attempt. */
  readonly failed: ((thrown: unknown) => void) | undefined;
}

export class Committer implements Disposable {
  readonly #ports: CommitterPorts;
  #dependents: Dependent[] = [];
  #timer: { readonly handle: Disposable; readonly at: number } | undefined;

  constructor(ports: CommitterPorts) {
    this.#ports = ports;
  }

  /** Resolves when all changes made so far are on disk. @throws {UserError} they are not; the caller takes them back */
  committed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#dependents.push({ done: resolve, failed: reject });
      this.#arm(0);
    });
  }

  /** Calls `tell` when all changes made so far are on disk, however long that takes. */
  afterCommit(tell: () => void): void {
    this.#dependents.push({ done: tell, failed: undefined });
    this.#arm(0);
  }

  /** Something changed that nobody waits for. */
  lazily(): void {
    this.#arm(LAZY_MS);
  }

  /** Writes now. False: that failed. */
  flush(): boolean {
    this.#disarm();
    const dependents = this.#dependents;
    this.#dependents = [];
    try {
      this.#ports.write();
    } catch (thrown) {
      this.#ports.log.error("addresses cannot be saved", { reason: errorText(thrown) });
      this.#dependents = [...dependents.filter((one) => one.failed === undefined), ...this.#dependents];
      for (const one of dependents) one.failed?.(thrown);
      this.#arm(RETRY_MS);
      return false;
    }
    for (const one of dependents) one.done();
    return true;
  }

  [Symbol.dispose](): void {
    this.#disarm();
  }

  #arm(delayMs: number): void {
    const at = this.#ports.clock.now() + delayMs;
    if (this.#timer && this.#timer.at <= at) return;
    this.#disarm();
    this.#timer = { at, handle: this.#ports.clock.after(delayMs, () => void this.flush()) };
  }
  #disarm(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
  }
}
