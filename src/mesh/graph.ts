// SPDX-License-Identifier: Apache-2.0
// The topology as two relations over small indexes: `listed` (both ends list the connection: control messages may pass) and
// `data` (both ends call it established: frames may pass). Kept up to date entry by entry, so that a delta costs what it holds.
// Only peers that were admitted have an index: a record may name thousands that nobody knows, and they must cost nothing.
import { ringPosition } from "./mix.ts";
import type { PeerName } from "./peer-name.ts";
import type { ConnectionEntry, PeerRecord } from "./record.ts";
import { Relation } from "./relation.ts";

const GROWTH = 128;

export class Graph {
  readonly listed = new Relation();
  readonly data = new Relation();
  readonly #indexes = new Map<PeerName, number>();
  readonly #names: PeerName[] = [];
  readonly #positions: number[] = [];

  /** Indexes handed out so far, those of forgotten peers included. */
  get size(): number {
    return this.#names.length;
  }
  /** undefined: never admitted. */
  indexOf(name: PeerName): number | undefined {
    return this.#indexes.get(name);
  }
  nameAt(index: number): PeerName {
    return this.#names[index]!;
  }
  /** Place on the ring (mix.ts), 32 bits. */
  positionAt(index: number): number {
    return this.#positions[index]!;
  }

  /** Gives a peer its index. True when it had none: what others say of it has to be told again then. */
  admit(name: PeerName): boolean {
    if (this.#indexes.has(name)) return false;
    this.#allot(name);
    return true;
  }

  /** `next` takes the place of `before`, both of an admitted peer; `touched` are the peers whose entries may differ, all when left out. */
  replace(before: PeerRecord | undefined, next: PeerRecord | undefined, touched?: Iterable<PeerName>): void {
    const owner = next?.name ?? before?.name;
    const from = owner === undefined ? undefined : this.#indexes.get(owner);
    if (from === undefined) return;
    if (touched) {
      for (const peer of touched) this.#claim(from, peer, next?.connections.get(peer));
      return;
    }
    for (const peer of before?.connections.keys() ?? []) if (!next?.connections.has(peer)) this.#claim(from, peer, undefined);
    for (const entry of next?.connections.values() ?? []) this.#claim(from, entry.peer, entry);
  }

  #claim(from: number, peer: PeerName, entry: ConnectionEntry | undefined): void {
    const to = this.#indexes.get(peer);
    if (to === undefined) return;
    this.listed.claim(from, to, entry?.cut === false);
    this.data.claim(from, to, entry?.established === true);
  }

  #allot(name: PeerName): void {
    const index = this.#names.length;
    if (index >= this.listed.words * 32) {
      const capacity = index + GROWTH - (index % GROWTH);
      this.listed.grow(capacity);
      this.data.grow(capacity);
    }
    this.#indexes.set(name, index);
    this.#names.push(name);
    this.#positions.push(ringPosition(name));
  }
}
