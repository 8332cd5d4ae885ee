// SPDX-License-Identifier: Apache-2.0
// What people should know about the health of the mesh, until it has not been seen for a while.
import type { Clock, Instant } from "../runtime/clock.ts";

const KEEP_MS = 10 * 60_000;
const MAX = 64;

export class Warnings {
  readonly #clock: Clock;
  readonly #all = new Map<string, { text: string; until: Instant }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True when it is news. `topic` says what it is about: a newer text on it replaces the older. */
  raise(topic: string, text: string): boolean {
    const isNew = this.#all.get(topic)?.text !== text;
    this.#all.delete(topic);
    this.#all.set(topic, { text, until: this.#clock.now() + KEEP_MS });
    if (this.#all.size > MAX) this.#all.delete(this.#all.keys().next().value!);
    return isNew;
  }
  clear(topic: string): void {
    this.#all.delete(topic);
  }
  list(): string[] {
    const now = this.#clock.now();
    for (const [topic, warning] of this.#all) if (warning.until <= now) this.#all.delete(topic);
    return Array.from(this.#all.values(), (warning) => warning.text).sort();
  }
}
