// SPDX-License-Identifier: Apache-2.0
// Routes over the cables of a small world, as a mesh would compute them: next hops breadth first, one tree per source, the same everywhere.
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import type { Ip } from "../../../src/net/ip.ts";
import type { DatapathPlan, FloodEntry, NeighbourEntry, Path } from "../../../src/overlay/plan.ts";
import { type Cable, DATA_PORT, type Node, type World } from "./world.ts";

function other(cable: Cable, node: Node): Node {
  return cable.a === node ? cable.b : cable.a;
}

function neighboursOf(node: Node, cut: readonly Cable[]): Node[] {
  const live = node.cables.filter((cable) => !cut.includes(cable));
  return live.map((cable) => other(cable, node)).sort((a, b) => a.id - b.id);
}

/** Each reachable host's parent in the tree of `source`. */
function treeOf(source: Node, cut: readonly Cable[]): Map<Node, Node | undefined> {
  const parents = new Map<Node, Node | undefined>([[source, undefined]]);
  for (const node of parents.keys()) {
    for (const next of neighboursOf(node, cut)) if (!parents.has(next)) parents.set(next, node);
  }
  return parents;
}

/** How the host at the other end of a cable is reached. */
export type PathOf = (cable: Cable, neighbour: Node) => Path;

/** Where the neighbour at the other end of a cable is on it. */
export function addressOn(cable: Cable, neighbour: Node): Ip {
  const address = cable.addresses.get(neighbour);
  if (address === undefined) throw new Error("a cable without address");
  return address;
}
const clear: PathOf = (cable, neighbour) => ({ kind: "fastdp", address: addressOn(cable, neighbour) });

/** Sent to by one way, and accepted from these; without any more, from that one. */
export function entryOf(send: Path, accept: readonly Path[] = [send]): NeighbourEntry {
  return { send, accept, dataPort: DATA_PORT, mtuBytes: 0 };
}

export function planOf(world: World, self: Node, cut: readonly Cable[] = [], pathOf: PathOf = clear): DatapathPlan {
  const live = self.cables.filter((cable) => !cut.includes(cable));
  const neighbours = live.map((cable) => {
    const node = other(cable, self);
    return [node.id, entryOf(pathOf(cable, node))] as const;
  });
  const own = treeOf(self, cut);
  const nextHops = new Map<ShortId, ShortId>();
  for (const node of own.keys()) {
    if (node === self) continue;
    let hop = node;
    for (let parent = own.get(hop); parent !== undefined && parent !== self; parent = own.get(hop)) hop = parent;
    nextHops.set(node.id, hop.id);
  }
  const floods = new Map<ShortId, FloodEntry>();
  for (const source of world.nodes.values()) {
    const tree = treeOf(source, cut);
    if (!tree.has(self)) continue;
    const hops = [...tree].filter(([, parent]) => parent === self).map(([node]) => node.id);
    floods.set(source.id, { parent: tree.get(self)?.id ?? 0, hops: hops.sort((a, b) => a - b) });
  }
  return { self: self.id, neighbours: new Map(neighbours), nextHops, floods };
}
