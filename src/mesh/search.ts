// SPDX-License-Identifier: Apache-2.0
// Breadth-first search over a relation of bits, and from it the place of one peer in the broadcast tree of another.
// Every peer computes its own place from the same records, so all places together are one tree: a peer's parent is, of its
// neighbours one step nearer to the source, the one that follows a point on the ring chosen by source and peer. Choosing by a
// hash spreads the work of a source over all its neighbours, and of many sources over all peers.
import type { Graph } from "./graph.ts";
import { mixPair } from "./mix.ts";
import type { Relation } from "./relation.ts";

export interface Place {
  /** Index of the peer we get the source's frames from; -1: we are the source. */
  readonly parent: number;
  /** Indexes of those we pass them on to. */
  readonly children: readonly number[];
  /** Of all neighbours one step nearer to the source. */
  readonly nearer: readonly number[];
}

export class Search {
  readonly #graph: Graph;
  readonly #relation: Relation;
  readonly #words: number;
  /** All peers that `self` reaches, itself included. */
  readonly component: Uint32Array;
  readonly #visited: Uint32Array;
  #level: Uint32Array;
  #next: Uint32Array;
  #isComponentKnown = false;

  /** A search in the graph as it is now; to be used until it changes. `self` is an index, `component` what it reaches, if known. */
  constructor(graph: Graph, relation: Relation, self: number, component?: Uint32Array) {
    this.#graph = graph;
    this.#relation = relation;
    this.#words = relation.words;
    this.#visited = new Uint32Array(this.#words);
    this.#level = new Uint32Array(this.#words);
    this.#next = new Uint32Array(this.#words);
    this.component = component ?? this.#explore(self);
    this.#isComponentKnown = true;
  }

  #explore(self: number): Uint32Array {
    this.#begin(self);
    while (this.#step()) {}
    return this.#visited.slice();
  }

  /** Indexes of the component, ascending. */
  members(): number[] {
    return bitsOf(this.component);
  }
  reaches(index: number): boolean {
    return hasBit(this.component, index);
  }

  /** The place of `self` in the tree of `source`, which must be in the component. */
  place(source: number, self: number): Place {
    const neighbours = this.#relation.mutual.subarray(self * this.#words, (self + 1) * this.#words);
    if (source === self) return { parent: -1, children: bitsOf(neighbours), nearer: [] };
    this.#begin(source);
    let before = this.#level.slice();
    while (!hasBit(this.#level, self)) {
      before = this.#level.slice();
      if (!this.#step()) return { parent: -1, children: [], nearer: [] };
    }
    const nearer: number[] = [];
    eachBit(neighbours, before, 0, (index) => nearer.push(index));
    const children: number[] = [];
    eachBit(neighbours, this.#visited, -1, (index) => {
      if (this.#chosen(source, index, this.#level, self) === self) children.push(index);
    });
    return { parent: nearest(this.#graph, source, self, nearer), children, nearer };
  }

  #begin(source: number): void {
    this.#visited.fill(0);
    this.#level.fill(0);
    setBit(this.#visited, source);
    setBit(this.#level, source);
  }

  /** One level on; false when there is none. */
  #step(): boolean {
    const next = this.#next.fill(0);
    this.#spread(next);
    let some = 0;
    for (let i = 0; i < this.#words; i++) {
      next[i]! &= ~this.#visited[i]!;
      this.#visited[i]! |= next[i]!;
      some |= next[i]!;
    }
    this.#next = this.#level;
    this.#level = next;
    return some !== 0;
  }

  /** Adds the neighbours of the whole level to `next`, or of as many as it takes: in a dense mesh a few cover everything. */
  #spread(next: Uint32Array): void {
    const { mutual } = this.#relation;
    const words = this.#words;
    let done = 0;
    for (let word = 0; word < words; word++) {
      for (let rest = this.#level[word]!; rest !== 0; rest &= rest - 1) {
        const row = (word * 32 + (31 - Math.clz32(rest & -rest))) * words;
        for (let i = 0; i < words; i++) next[i]! |= mutual[row + i]!;
        if ((++done & 3) === 0 && this.#coversAll(next)) return;
      }
    }
  }

  #coversAll(next: Uint32Array): boolean {
    if (!this.#isComponentKnown) return false;
    for (let i = 0; i < this.#words; i++) if ((this.component[i]! & ~(next[i]! | this.#visited[i]!)) !== 0) return false;
    return true;
  }

  /** The parent of `child` among its neighbours in `level`; stops early at one that is nearer to the point than `self`. */
  #chosen(source: number, child: number, level: Uint32Array, self: number): number {
    const graph = this.#graph;
    const pivot = pivotOf(graph, source, child);
    const own = (graph.positionAt(self) - pivot) >>> 0;
    const { mutual } = this.#relation;
    for (let word = 0; word < this.#words; word++) {
      for (let rest = mutual[child * this.#words + word]! & level[word]!; rest !== 0; rest &= rest - 1) {
        const other = word * 32 + (31 - Math.clz32(rest & -rest));
        const distance = (graph.positionAt(other) - pivot) >>> 0;
        if (distance < own || (distance === own && graph.nameAt(other) < graph.nameAt(self))) return other;
      }
    }
    return self;
  }
}

function pivotOf(graph: Graph, source: number, child: number): number {
  return mixPair(graph.positionAt(source), graph.positionAt(child));
}

/** Of `candidates` the one that follows the ring point of (`source`, `child`); -1 when there is none. */
export function nearest(graph: Graph, source: number, child: number, candidates: readonly number[]): number {
  const pivot = pivotOf(graph, source, child);
  let best = -1;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = (graph.positionAt(candidate) - pivot) >>> 0;
    const isTie = distance === bestDistance && graph.nameAt(candidate) < graph.nameAt(best);
    if (distance < bestDistance || isTie) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Whether `a` and `b`, which are connected, could reach each other without that connection. */
export function isConnectedWithout(relation: Relation, a: number, b: number): boolean {
  const { words, mutual } = relation;
  const visited = new Uint32Array(words);
  setBit(visited, a);
  const queue = [a];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const next of bitsOf(mutual.subarray(at * words, (at + 1) * words))) {
      if (hasBit(visited, next) || (at === a && next === b)) continue;
      if (next === b) return true;
      setBit(visited, next);
      queue.push(next);
    }
  }
  return false;
}

function setBit(bits: Uint32Array, index: number): void {
  bits[index >>> 5]! |= 1 << (index & 31);
}

export function hasBit(bits: Uint32Array, index: number): boolean {
  return (bits[index >>> 5]! & (1 << (index & 31))) !== 0;
}

export function bitsOf(bits: Uint32Array): number[] {
  const indexes: number[] = [];
  eachBit(bits, bits, 0, (index) => indexes.push(index));
  return indexes;
}

/** Each bit of `bits` that is also in `mask` (`flip` 0) or not in it (`flip` -1). */
function eachBit(bits: Uint32Array, mask: Uint32Array, flip: 0 | -1, visit: (index: number) => void): void {
  for (let word = 0; word < bits.length; word++) {
    for (let rest = bits[word]! & (mask[word]! ^ flip); rest !== 0; rest &= rest - 1) {
      visit(word * 32 + (31 - Math.clz32(rest & -rest)));
    }
  }
}
