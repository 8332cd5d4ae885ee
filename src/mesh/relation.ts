// SPDX-License-Identifier: Apache-2.0
// Who says to be connected to whom, as a square of bits, and beside it the same square holding only what both ends say.
// 500 peers fit into 32 kB, and one search over them costs microseconds.

const WORD_BITS = 32;
const ADDITIONS_MAX = 2048;

export class Relation {
  #words = 0;
  #claims = new Uint32Array(0);
  #mutual = new Uint32Array(0);
  #version = 0;
  #removals = 0;
  #additions: number[] = [];

  /** 32-bit words of one row. */
  get words(): number {
    return this.#words;
  }
  /** Grows each time a mutual bit changes. */
  get version(): number {
    return this.#version;
  }
  /** Grows each time a mutual bit is cleared. */
  get removals(): number {
    return this.#removals;
  }
  /** Row `i` is the words from `i * words`; bit j of it: i and j both say so. Valid until the next `grow`. */
  get mutual(): Uint32Array {
    return this.#mutual;
  }

  /** Makes room for indexes below `capacity`, a multiple of 32. */
  grow(capacity: number): void {
    const words = capacity / WORD_BITS;
    this.#claims = widen(this.#claims, this.#words, words);
    this.#mutual = widen(this.#mutual, this.#words, words);
    this.#words = words;
  }

  /** `from` says it is connected to `to`, or says so no longer. */
  claim(from: number, to: number, isOn: boolean): void {
    const bit = 1 << (to & 31);
    const at = from * this.#words + (to >>> 5);
    const before = (this.#claims[at]! & bit) !== 0;
    if (before === isOn) return;
    this.#claims[at]! ^= bit;
    const backAt = to * this.#words + (from >>> 5);
    const backBit = 1 << (from & 31);
    if ((this.#claims[backAt]! & backBit) === 0) return;
    this.#mutual[at]! ^= bit;
    if (from !== to) this.#mutual[backAt]! ^= backBit;
    this.#version++;
    if (!isOn) this.#removals++;
    else if (this.#additions.length < ADDITIONS_MAX) this.#additions.push(from, to);
  }

  /** Pairs of indexes that became mutual since the last call, flat; undefined when there were too many to note. */
  takeAdditions(): readonly number[] | undefined {
    const additions = this.#additions;
    this.#additions = [];
    return additions.length < ADDITIONS_MAX ? additions : undefined;
  }

  isMutual(a: number, b: number): boolean {
    return (this.#mutual[a * this.#words + (b >>> 5)]! & (1 << (b & 31))) !== 0;
  }
}

function widen(bits: Uint32Array, from: number, to: number): Uint32Array<ArrayBuffer> {
  const wide = new Uint32Array(to * to * WORD_BITS);
  for (let row = 0; row < from * WORD_BITS; row++) wide.set(bits.subarray(row * from, (row + 1) * from), row * to);
  return wide;
}
