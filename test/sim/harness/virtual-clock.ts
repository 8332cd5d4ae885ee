// SPDX-License-Identifier: Apache-2.0
// Time of a simulated world: a heap of events, run in order; nothing waits in reality.

interface Event {
  readonly at: number;
  readonly order: number;
  fire: (() => void) | undefined;
}

export class VirtualTime {
  #now = 0;
  #order = 0;
  #heap: Event[] = [];
  #ran = 0;

  now(): number {
    return this.#now;
  }
  /** Events run so far. */
  get ran(): number {
    return this.#ran;
  }

  after(delayMs: number, fire: () => void): Disposable {
    const event: Event = { at: this.#now + Math.max(0, delayMs), order: this.#order++, fire };
    this.#push(event);
    return {
      [Symbol.dispose]: () => {
        event.fire = undefined;
      },
    };
  }

  /** Runs everything up to `until`, and leaves the clock there. */
  runUntil(until: number): void {
    for (let next = this.#heap[0]; next && next.at <= until; next = this.#heap[0]) {
      this.#pop();
      const { fire } = next;
      if (!fire) continue;
      this.#now = next.at;
      this.#ran++;
      fire();
    }
    this.#now = until;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (isBefore(heap[up]!, event)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order;
}
