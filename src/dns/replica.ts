// SPDX-License-Identifier: Apache-2.0
// One peer's names as somebody holds them: the peer alone writes, everybody else merges. The writer numbers its changes; a holder knows up to which
// number it has seen all of them, so what it does not hold below that number is known to be removed. Removed entries stay for a while as
// tombstones, which makes repairs short; they are not needed for being right, because who has missed more than they tell is told everything anew
// (`floor`). A new life of the writer is a higher epoch and replaces all of the last one, so names of an earlier life never come back.
import { type Entry, entryKey } from "./entry.ts";

export interface Change {
  readonly entry: Entry;
  /** Number of the change that made it so; counted by the writer from 1. */
  readonly version: number;
  readonly removed: boolean;
}

/** All that the changes `from`+1 … `to` left behind. */
export interface Delta {
  /** Grows with each life of the writer. */
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  /** Tombstones up to this number are forgotten by the writer. */
  readonly floor: number;
  readonly changes: readonly Change[];
}

/** How far a holder has come. */
export interface Standing {
  readonly epoch: number;
  /** Every change up to this one is in there. */
  readonly seen: number;
  /** Removals up to this one have been heeded, though it may lie above `seen`: who is told everything anew gets it in parts. */
  readonly floor: number;
}

/** What a merge did to what is held. */
export interface Merged {
  readonly added: readonly Entry[];
  readonly removed: readonly Entry[];
  /** Something was new, whether or not it shows. */
  readonly isNews: boolean;
}

/** Entries of one peer, tombstones not counted. Further ones are not taken. */
export const ENTRIES_MAX = 131_072;
const TOMBSTONES_MAX = 1024;
const NOTHING: Merged = { added: [], removed: [], isNews: false };

export class Replica {
  readonly #tombstonesMax: number;
  #epoch: number;
  #seen = 0;
  #floor = 0;
  readonly #alive = new Map<string, Change>();
  readonly #tombstones = new Map<string, Change>();
  /** Of those alive, what came before all that was to come before it. */
  readonly #ahead = new Set<string>();

  /** `tombstonesMax`: 0 is right as well, only slower to repair. */
  constructor(epoch = 0, tombstonesMax = TOMBSTONES_MAX) {
    this.#epoch = epoch;
    this.#tombstonesMax = tombstonesMax;
  }

  get standing(): Standing {
    return { epoch: this.#epoch, seen: this.#seen, floor: this.#floor };
  }
  get size(): number {
    return this.#alive.size;
  }
  entries(): Entry[] {
    return Array.from(this.#alive.values(), ({ entry }) => entry);
  }
  /** With tombstones. */
  changes(): Change[] {
    return [...this.#alive.values(), ...this.#tombstones.values()];
  }
  has(entry: Entry): boolean {
    return this.#alive.has(entryKey(entry));
  }

  /** The writer's own changes, in one step; what is so already is none. Costs the changes, however much is held. */
  write(added: readonly Entry[], removed: readonly Entry[]): Delta {
    const from = this.#seen;
    const changes: Change[] = [];
    const note = (entry: Entry, isRemoved: boolean): void => {
      if (this.has(entry) !== isRemoved) return;
      const change = { entry, version: ++this.#seen, removed: isRemoved };
      this.#put(change);
      changes.push(change);
    };
    for (const entry of removed) note(entry, true);
    for (const entry of added) note(entry, false);
    this.#trim();
    return { epoch: this.#epoch, from, to: this.#seen, floor: this.#floor, changes };
  }

  /** The writer's next life, above `epoch`: the same entries, to be told from the beginning. */
  rise(epoch: number): void {
    const entries = this.entries();
    this.#clear(epoch);
    this.write(entries, []);
  }

  /** Commutative, associative and idempotent in what is held once everything has been seen. */
  merge(delta: Delta): Merged {
    if (delta.epoch < this.#epoch) return NOTHING;
    let isNews = delta.epoch > this.#epoch || this.#mustRebuild(delta);
    const added: Entry[] = [];
    const removed: Entry[] = isNews ? this.#clear(delta.epoch) : [];
    const isFirst = this.#seen === 0 && delta.from === 0;
    for (const change of delta.changes) {
      const key = entryKey(change.entry);
      const held = this.#alive.get(key);
      const version = held?.version ?? this.#tombstones.get(key)?.version ?? 0;
      // Not held, though all up to there was seen: removed meanwhile, and its tombstone is gone.
      if (change.version <= version || (version === 0 && change.version <= this.#seen)) continue;
      if (!held && !change.removed && this.#alive.size >= ENTRIES_MAX) continue;
      isNews = true;
      this.#put(change);
      if (held) removed.push(held.entry);
      if (!change.removed) added.push(change.entry);
    }
    if (delta.from <= this.#seen && delta.to > this.#seen) {
      removed.push(...this.#dropUnlisted(delta));
      this.#seen = delta.to;
      isNews = true;
    }
    this.#floor = Math.max(this.#floor, isFirst ? delta.floor : Math.min(delta.floor, this.#seen));
    this.#trim();
    return { added, removed, isNews };
  }

  /** What another holder lacks; at most `limit` changes, the rest follows when it asks again. */
  since(other: Standing, limit: number): Delta | undefined {
    const { epoch, seen, floor } = other;
    if (epoch > this.#epoch || (epoch === this.#epoch && seen >= this.#seen)) return undefined;
    const from = epoch < this.#epoch || Math.max(seen, floor) < this.#floor ? 0 : seen;
    const lacking = this.changes().filter((change) => change.version > from);
    // What is held beyond `seen` came out of turn: it is passed on when the gap is closed.
    const changes = lacking.filter((change) => change.version <= this.#seen).sort((a, b) => a.version - b.version);
    const isPart = changes.length > limit;
    const sent = isPart ? changes.slice(0, limit) : changes;
    const to = isPart ? sent.at(-1)!.version : this.#seen;
    return { epoch: this.#epoch, from, to, floor: this.#floor, changes: sent };
  }

  /** What came out of turn and is in none of the changes that close the gap was removed meanwhile, and its tombstone is gone. */
  #dropUnlisted({ to, changes }: Delta): Entry[] {
    const listed = new Set(changes.map(({ entry }) => entryKey(entry)));
    const dropped: Entry[] = [];
    for (const key of this.#ahead) {
      const held = this.#alive.get(key);
      if (held && held.version > to) continue;
      this.#ahead.delete(key);
      if (!held || listed.has(key)) continue;
      this.#alive.delete(key);
      dropped.push(held.entry);
    }
    return dropped;
  }

  /** It tells everything from the beginning because we have missed removals that nobody can name any more. */
  #mustRebuild({ from, floor }: Delta): boolean {
    return from === 0 && this.#seen > 0 && Math.max(this.#seen, this.#floor) < floor;
  }

  #put(change: Change): void {
    const key = entryKey(change.entry);
    this.#alive.delete(key);
    this.#tombstones.delete(key);
    (change.removed ? this.#tombstones : this.#alive).set(key, change);
    if (!change.removed && change.version > this.#seen) this.#ahead.add(key);
    else this.#ahead.delete(key);
  }

  #clear(epoch: number): Entry[] {
    const entries = this.entries();
    this.#alive.clear();
    this.#tombstones.clear();
    this.#ahead.clear();
    this.#epoch = epoch;
    this.#seen = 0;
    this.#floor = 0;
    return entries;
  }

  #trim(): void {
    for (const [key, { version }] of this.#tombstones) {
      if (this.#tombstones.size <= this.#tombstonesMax && version > this.#floor) continue;
      if (version > this.#seen) continue;
      this.#tombstones.delete(key);
      this.#floor = Math.max(this.#floor, version);
    }
  }
}
