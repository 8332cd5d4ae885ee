// SPDX-License-Identifier: Apache-2.0
// Public keys that nobody lets in any more. The set only grows, so copies merge by union.
import { REVOKED_MAX } from "./fields.ts";
import { hashText } from "./mix.ts";

export class Revocations {
  readonly #keys = new Set<string>();
  #hash = 0;

  constructor(keys: Iterable<string> = []) {
    this.add(keys);
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }
  /** Sorted. */
  list(): string[] {
    return [...this.#keys].sort();
  }
  /** Equal sets have equal hashes; 32 bits. */
  get hash(): number {
    return this.#hash;
  }

  /** Returns those that were new. When the set is full, further ones are not taken. */
  add(keys: Iterable<string>): string[] {
    const added: string[] = [];
    for (const key of keys) {
      if (this.#keys.has(key) || this.#keys.size >= REVOKED_MAX) continue;
      this.#keys.add(key);
      this.#hash = (this.#hash + hashText(key)) >>> 0;
      added.push(key);
    }
    return added;
  }
}
