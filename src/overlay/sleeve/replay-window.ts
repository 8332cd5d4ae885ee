// SPDX-License-Identifier: Apache-2.0
// Which counters of one key have been seen (RFC 6479): datagrams may come in another order, none is taken twice. As wide as several bursts
// of segmented sends, because those overtake each other.

export const WINDOW_BITS = 8192;
const WORD_BITS = 32;
/** A power of two, as WORD_BITS is: counters are doubles to the engine, and of a double `%` is a call where `&` is none. */
const WORDS = WINDOW_BITS / WORD_BITS;

export class ReplayWindow {
  readonly #seen = new Uint32Array(WORDS);
  /** Largest counter so far. */
  #top = -1;

  /** Whether `counter` is new. Changes nothing, so it can be asked before the datagram is opened. */
  isNew(counter: number): boolean {
    if (counter > this.#top) return true;
    // One word is always being refilled, so the window is that much narrower.
    if (this.#top - counter >= WINDOW_BITS - WORD_BITS) return false;
    const word = Math.floor(counter / WORD_BITS) & (WORDS - 1);
    return (this.#seen[word]! & (1 << (counter & (WORD_BITS - 1)))) === 0; // word < WORDS
  }

  /** It was authentic. True: none was larger. */
  note(counter: number): boolean {
    const isNewest = counter > this.#top;
    const word = Math.floor(counter / WORD_BITS);
    if (isNewest) {
      const before = Math.floor(Math.max(0, this.#top) / WORD_BITS);
      const fresh = Math.min(WORDS, word - before);
      for (let i = 1; i <= fresh; i++) this.#seen[(before + i) & (WORDS - 1)] = 0;
      this.#top = counter;
    }
    this.#seen[word & (WORDS - 1)]! |= 1 << (counter & (WORD_BITS - 1));
    return isNewest;
  }
}
