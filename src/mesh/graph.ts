// SPDX-License-Identifier: Apache-2.0
// The topology as two relations over small indexes: `listed` (both ends list the connection: control messages may pass) and
// `data` (both ends call it established: frames may pass). Kept up to date entry by entry, so that a delta costs what it holds.
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
  /** undefined: never heard of. */
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

  /** `next` takes the place of `before`; `touched` are the peers whose entries may differ, all when left out. */
  replace(before: PeerRecord | undefined, next: PeerRecord | undefined, touched?: Iterable<PeerName>): void {
    const owner = next?.name ?? before?.name;
    if (owner === undefined) return;
    const from = this.#allot(owner);
    if (touched) {
      for (const peer of touched) this.#claim(from, peer, next?.connections.get(peer));
      return;
    }
    for (const peer of before?.connections.keys() ?? []) if (!next?.connections.has(peer)) this.#claim(from, peer, undefined);
    for (const entry of next?.connections.values() ?? []) this.#claim(from, entry.peer, entry);
  }

  #claim(from: number, peer: PeerName, entry: ConnectionEntry | undefined): void {
    const to = this.#allot(peer);
    this.listed.claim(from, to, entry !== undefined);
    this.data.claim(from, to, entry?.established === true);
  }

  #allot(name: PeerName): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const index = this.#names.length;
    if (index >= this.listed.words * 32) {
      const capacity = index + GROWTH - (index % GROWTH);
      this.listed.grow(capacity);
      this.data.grow(capacity);
    }
    this.#indexes.set(name, index);
    this.#names.push(name);
    this.#positions.push(ringPosition(name));
    return index;
  }
}
