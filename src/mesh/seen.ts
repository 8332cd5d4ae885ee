// SPDX-License-Identifier: Apache-2.0
// Which broadcasts of a source have come by already, so that each is taken and passed on once even while trees differ.
import type { PeerName } from "./peer-name.ts";

const WINDOW = 256;
const SOURCES_MAX = 4096;

interface Window {
  readonly uid: string;
  highest: number;
  readonly recent: Set<number>;
}

export class Seen {
  readonly #sources = new Map<PeerName, Window>();

  /** True the first time; false for repeats, and for what is older than the window. */
  isNew(source: PeerName, uid: string, sequence: number): boolean {
    let window = this.#sources.get(source);
    if (!window || window.uid !== uid) {
      window = { uid, highest: sequence, recent: new Set() };
      this.#sources.delete(source);
      this.#sources.set(source, window);
      if (this.#sources.size > SOURCES_MAX) this.#sources.delete(this.#sources.keys().next().value!);
    }
    if (sequence <= window.highest - WINDOW || window.recent.has(sequence)) return false;
    window.recent.add(sequence);
    window.highest = Math.max(window.highest, sequence);
    if (window.recent.size > 2 * WINDOW) {
      for (const old of window.recent) if (old <= window.highest - WINDOW) window.recent.delete(old);
    }
    return true;
  }
}
