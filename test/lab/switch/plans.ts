// SPDX-License-Identifier: Apache-2.0
// Routes over the cables of a small world, as a mesh would compute them: next hops breadth first, one tree per source, the same everywhere.
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import type { DatapathPlan, FloodEntry } from "../../../src/overlay/plan.ts";
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

export function planOf(world: World, self: Node, cut: readonly Cable[] = []): DatapathPlan {
  const live = self.cables.filter((cable) => !cut.includes(cable));
  const neighbours = live.map((cable) => {
    const node = other(cable, self);
    const address = cable.addresses.get(node);
    if (address === undefined) throw new Error("a cable without address");
    const path = { kind: "fastdp", address } as const;
    return [node.id, { send: path, accept: [path], dataPort: DATA_PORT, mtuBytes: 0 }] as const;
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
