// SPDX-License-Identifier: Apache-2.0
// Chance as an argument. Key material is not taken from here: it always comes from libsodium.

export interface Random {
  /** Uniform integer in [0, bound). `bound` is 1 .. 2^48. */
  below(bound: number): number;
}

export const systemRandom: Random = {
  below(bound) {
    const limit = 2 ** 48 - (2 ** 48 % bound); // rejection keeps it uniform
    for (;;) {
      const words = crypto.getRandomValues(new Uint32Array(2));
      const value = (words[0]! & 0xffff) * 2 ** 32 + words[1]!;
      if (value < limit) return value % bound;
    }
  },
};

/** Repeatable chance for tests and simulations (xoshiro128**, Blackman and Vigna 2018). */
export function seededRandom(seed: number): Random {
  const state = new Uint32Array(4);
  let mix = seed >>> 0;
  for (let i = 0; i < 4; i++) {
    mix = (mix + 0x9e3779b9) >>> 0;
    let word = mix;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    state[i] = word ^ (word >>> 16);
  }
  const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));
  function next(): number {
    const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0;
    const shifted = state[1]! << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= state[1]!;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= shifted;
    state[3] = rotate(state[3]!, 11);
    return result;
  }
  return { below: (bound) => Math.floor((((next() & 0x1fffff) * 2 ** 32 + next()) / 2 ** 53) * bound) };
}

/** Picks one element. @throws {RangeError} on an empty list */
export function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[random.below(Math.max(1, items.length))];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}

/** A fresh copy in random order (Fisher and Yates). */
export function shuffled<Item>(random: Random, items: readonly Item[]): Item[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
