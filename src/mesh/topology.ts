// SPDX-License-Identifier: Apache-2.0
// All peer records we hold. The higher version wins; what cannot be reached is out of every answer at once, but kept for a while, so that
// a short cut costs no exchange of records afterwards. Only reachable peers count in the digest: equal data gives equal digests
// although each peer forgets the lost ones at its own time.
import type { Clock, Instant } from "../runtime/clock.ts";
import { PEERS_MAX } from "./fields.ts";
import { Graph } from "./graph.ts";
import type { RecordVersion } from "./message.ts";
import { hashText, mixPair } from "./mix.ts";
import type { PeerName } from "./peer-name.ts";
import { applyDelta, isNewer, type PeerRecord, type RecordDelta } from "./record.ts";
import { bitsOf, hasBit, Search } from "./search.ts";

/** How long the record of an unreachable peer is kept. */
export const KEEP_LOST_MS = 60_000;
/** Connections in all records together; a full mesh of 1000 peers. */
export const ENTRIES_MAX = 2 ** 20;

interface Held {
  record: PeerRecord;
  sums: readonly [number, number];
  lostSince: Instant | undefined;
}

/** `gap`: a version we cannot get to from ours; `ours`: somebody holds a record of us that we did not make in this life;
 *  `full`: more peers or connections than a mesh can have. */
export type Merged = "new" | "known" | "gap" | "ours" | "full";

export class Topology {
  readonly #self: PeerName;
  readonly #clock: Clock;
  readonly #apply: typeof applyDelta;
  readonly #held = new Map<PeerName, Held>();
  #graph = new Graph();
  #revision = 0;
  #membership = 0;
  #entries = 0;
  #reach: {
    readonly version: number;
    readonly removals: number;
    readonly membership: number;
    readonly component: Uint32Array;
    readonly names: ReadonlySet<PeerName>;
  } = { version: -1, removals: -1, membership: -1, component: new Uint32Array(0), names: new Set() };
  #digest: { readonly names: ReadonlySet<PeerName>; sums: readonly [number, number] } = { names: new Set(), sums: [0, 0] };

  constructor(self: PeerName, clock: Clock, apply = applyDelta) {
    this.#self = self;
    this.#clock = clock;
    this.#apply = apply;
  }

  get graph(): Graph {
    return this.#graph;
  }
  /** Grows with every change of any record. */
  get revision(): number {
    return this.#revision;
  }
  /** Grows when a peer is first heard of or forgotten. */
  get membership(): number {
    return this.#membership;
  }
  get(name: PeerName): PeerRecord | undefined {
    return this.#held.get(name)?.record;
  }
  /** Reachable or not. */
  records(): PeerRecord[] {
    return Array.from(this.#held.values(), (held) => held.record);
  }

  /** Takes our own record as it is now published. */
  setOwn(record: PeerRecord, touched?: Iterable<PeerName>): void {
    this.#store(record, touched);
  }

  merge(record: PeerRecord): Merged {
    const held = this.#held.get(record.name);
    if (record.name === this.#self) return held && isNewer(record, held.record) ? "ours" : "known";
    if (held && !isNewer(record, held.record)) return "known";
    if (!this.#hasRoom(held, record)) return "full";
    this.#store(record);
    return "new";
  }

  mergeDelta(delta: RecordDelta): Merged {
    const held = this.#held.get(delta.name);
    if (delta.name === this.#self) return held && isNewer(delta, held.record) ? "ours" : "known";
    if (held && !isNewer(delta, held.record)) return "known";
    const record = held && this.#apply(held.record, delta);
    if (!record) return "gap";
    if (!this.#hasRoom(held, record)) return "full";
    this.#store(record, [...delta.removed, ...delta.changed.map((entry) => entry.peer)]);
    return "new";
  }

  /** Whether the record fits in; those of unreachable peers make way for it. */
  #hasRoom(held: Held | undefined, record: PeerRecord): boolean {
    if (!this.#isFull(held, record)) return true;
    const reachable = this.reachable();
    for (const name of [...this.#held.keys()]) if (!reachable.has(name) && name !== record.name) this.forget(name);
    return !this.#isFull(held, record);
  }
  #isFull(held: Held | undefined, record: PeerRecord): boolean {
    return (!held && this.#held.size >= PEERS_MAX) || this.#entries + growth(held?.record, record) > ENTRIES_MAX;
  }

  #store(record: PeerRecord, touched?: Iterable<PeerName>): void {
    const held = this.#held.get(record.name);
    this.#entries += growth(held?.record, record);
    this.#tidy();
    if (this.#graph.admit(record.name)) {
      for (const { record: other } of this.#held.values()) {
        if (other.connections.has(record.name)) this.#graph.replace(other, other, [record.name]);
      }
    }
    this.#graph.replace(held?.record, record, touched);
    const sums = sumsOf(record);
    if (held && this.#digest.names.has(record.name)) {
      this.#count(held.sums, -1);
      this.#count(sums, 1);
    }
    if (held) {
      held.record = record;
      held.sums = sums;
    } else {
      this.#held.set(record.name, { record, sums, lostSince: undefined });
      this.#membership++;
    }
    this.#revision++;
  }

  forget(name: PeerName): void {
    const held = this.#held.get(name);
    if (!held || name === this.#self) return;
    this.#graph.replace(held.record, undefined);
    this.#held.delete(name);
    this.#entries -= held.record.connections.size;
    this.#membership++;
    this.#revision++;
  }

  /** Peers that control messages can reach over any path, ourselves included. The same set is returned until it changes. */
  reachable(): ReadonlySet<PeerName> {
    const { listed } = this.#graph;
    const reach = this.#reach;
    const isSameMembers = reach.membership === this.#membership;
    if (isSameMembers && reach.version === listed.version) return reach.names;
    const isSame = isSameMembers && reach.removals === listed.removals && !this.#hasGrown(reach.component);
    const component = isSame ? reach.component : this.#search();
    const isEqual = isSame || (isSameMembers && sameBits(component, reach.component));
    const names = isEqual ? reach.names : this.#namesIn(component);
    this.#reach = { version: listed.version, removals: listed.removals, membership: this.#membership, component, names };
    if (!isEqual) this.#markLost(names);
    return names;
  }

  /** Indexes of `reachable`, peers without a record included, as bits. */
  component(): Uint32Array {
    this.reachable();
    return this.#reach.component;
  }

  #search(): Uint32Array {
    this.#graph.listed.takeAdditions();
    const own = this.#graph.indexOf(this.#self);
    return own === undefined ? new Uint32Array(0) : new Search(this.#graph, this.#graph.listed, own).component;
  }

  /** Some connection that came since leads out of the component. */
  #hasGrown(component: Uint32Array): boolean {
    const additions = this.#graph.listed.takeAdditions();
    if (!additions || component.length !== this.#graph.listed.words) return true;
    for (let i = 0; i < additions.length; i += 2) {
      if (hasBit(component, additions[i]!) !== hasBit(component, additions[i + 1]!)) return true;
    }
    return false;
  }

  #namesIn(component: Uint32Array): ReadonlySet<PeerName> {
    const names = new Set<PeerName>();
    for (const index of bitsOf(component)) {
      const name = this.#graph.nameAt(index);
      if (this.#held.has(name)) names.add(name);
    }
    return names;
  }

  #markLost(reachable: ReadonlySet<PeerName>): void {
    const now = this.#clock.now();
    for (const [name, held] of this.#held) {
      if (reachable.has(name)) held.lostSince = undefined;
      else held.lostSince ??= now;
    }
  }

  /** Forgets those that have been unreachable for long; returns their last records. */
  sweep(): PeerRecord[] {
    this.reachable();
    const before = this.#clock.now() - KEEP_LOST_MS;
    const lost = [...this.#held.values()].filter((held) => held.lostSince !== undefined && held.lostSince <= before);
    for (const held of lost) this.forget(held.record.name);
    this.#tidy();
    return lost.map((held) => held.record);
  }

  /** Drops the indexes of forgotten peers once they are many. */
  #tidy(): void {
    if (this.#graph.size <= 2 * this.#held.size + 128) return;
    this.#graph = new Graph();
    for (const name of this.#held.keys()) this.#graph.admit(name);
    for (const held of this.#held.values()) this.#graph.replace(undefined, held.record);
    this.#membership++;
  }

  /** Sums over the versions of all reachable peers, and how many those are. */
  digest(): { readonly sums: readonly [number, number]; readonly peers: number } {
    const names = this.reachable();
    if (this.#digest.names !== names) {
      this.#digest = { names, sums: [0, 0] };
      for (const name of names) this.#count(this.#held.get(name)!.sums, 1);
    }
    return { sums: this.#digest.sums, peers: names.size };
  }

  #count([first, second]: readonly [number, number], factor: 1 | -1): void {
    const { sums } = this.#digest;
    this.#digest.sums = [(sums[0] + factor * first) >>> 0, (sums[1] + factor * second) >>> 0];
  }

  /** Of all reachable peers. */
  versions(): RecordVersion[] {
    return Array.from(this.reachable(), (name) => {
      const { uid, version } = this.#held.get(name)!.record;
      return { name, uid, version };
    });
  }
}

function growth(before: PeerRecord | undefined, after: PeerRecord): number {
  return after.connections.size - (before?.connections.size ?? 0);
}

function sameBits(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

function sumsOf(record: PeerRecord): readonly [number, number] {
  const life = mixPair(hashText(record.uid), mixPair(Math.floor(record.name / 2 ** 32), (record.name % 2 ** 32) | 0));
  const version = mixPair(Math.floor(record.version / 2 ** 32), (record.version % 2 ** 32) | 0);
  return [mixPair(life, version), mixPair(version, life)];
}
