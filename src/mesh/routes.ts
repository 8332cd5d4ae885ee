// SPDX-License-Identifier: Apache-2.0
// Where frames go, computed from the topology: next hops by fewest hops over connections that both ends call established, and our
// place in the broadcast tree of every source. Equal topologies give equal trees on all peers.
import type { Graph } from "./graph.ts";
import type { PeerName, ShortId } from "./peer-name.ts";
import type { Routes } from "./ports.ts";
import { nearest, Search } from "./search.ts";

type TreePlace = { readonly parent: PeerName | undefined; readonly children: readonly PeerName[] };

/** What route computation needs to know of peers. */
export interface RouteFacts {
  shortId(peer: PeerName): ShortId | undefined;
  /** Of our connection to `neighbour`; nearer ones are preferred among next hops of equal length. */
  latencyClass(neighbour: PeerName): number;
}

/** Routes of `self`; peers whose record we lack are absent. */
export function computeRoutes(graph: Graph, self: PeerName, facts: RouteFacts): Routes {
  const unicast = new Map<PeerName, PeerName>();
  const trees = new Map<PeerName, TreePlace>();
  const shortIds = new Map<PeerName, ShortId>();
  const own = graph.indexOf(self);
  if (own === undefined) return { unicast, trees, shortIds };
  const search = new Search(graph, graph.data, own);
  for (const index of search.members()) {
    const name = graph.nameAt(index);
    const shortId = facts.shortId(name);
    if (shortId === undefined) continue;
    const place = search.place(index, own);
    const children = place.children.map((child) => graph.nameAt(child)).sort((a, b) => a - b);
    trees.set(name, { parent: place.parent < 0 ? undefined : graph.nameAt(place.parent), children });
    shortIds.set(name, shortId);
    if (index !== own) unicast.set(name, graph.nameAt(nextHop(graph, own, index, place.nearer, facts)));
  }
  return { unicast, trees, shortIds };
}

function nextHop(graph: Graph, own: number, destination: number, nearer: readonly number[], facts: RouteFacts): number {
  const classes = nearer.map((index) => facts.latencyClass(graph.nameAt(index)));
  const best = Math.min(...classes);
  return nearest(
    graph,
    destination,
    own,
    nearer.filter((_, i) => classes[i] === best),
  );
}

export function sameRoutes(a: Routes, b: Routes): boolean {
  return (
    sameMap(a.unicast, b.unicast, Object.is) && sameMap(a.shortIds, b.shortIds, Object.is) && sameMap(a.trees, b.trees, samePlace)
  );
}

function samePlace(a: TreePlace, b: TreePlace): boolean {
  return (
    a.parent === b.parent && a.children.length === b.children.length && a.children.every((child, i) => child === b.children[i])
  );
}

function sameMap<Value>(
  a: ReadonlyMap<PeerName, Value>,
  b: ReadonlyMap<PeerName, Value>,
  same: (a: Value, b: Value) => boolean,
): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined || !same(value, other)) return false;
  }
  return true;
}
