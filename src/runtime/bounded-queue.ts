// SPDX-License-Identifier: Apache-2.0
// A queue between two rates. It has a limit and says what it drops.

export class BoundedQueue<Item> {
  readonly #limit: number;
  readonly #onDrop: (item: Item) => void;
  #items: Item[] = [];
  #head = 0;

  /** `onDrop` gets the newest item when the queue is full: what is already waiting keeps its place. */
  constructor(options: { limit: number; onDrop(item: Item): void }) {
    this.#limit = options.limit;
    this.#onDrop = options.onDrop;
  }
  get length(): number {
    return this.#items.length - this.#head;
  }
  push(item: Item): boolean {
    if (this.length >= this.#limit) {
      this.#onDrop(item);
      return false;
    }
    this.#items.push(item);
    return true;
  }
  shift(): Item | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head++];
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
