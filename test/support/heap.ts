// SPDX-License-Identifier: Apache-2.0
// What the program still holds, by a heap snapshot. The collector alone says something else: what it takes for pointers on the stack or in compiled code keeps
// whole islands alive that nothing leads to, some hundred objects now and then.

/** JSC's inspector format, version 3: nodes are [id, bytes, class, flags], edges [from, to, kind, name]. */
const NODE_FIELDS = 4;
const EDGE_FIELDS = 4;

/** Objects of each class to which a way leads from the roots. */
export function reachableObjects(): ReadonlyMap<string, number> {
  const { nodes, edges, nodeClassNames } = Bun.generateHeapSnapshot();
  const targets = new Map<number, number[]>();
  for (let at = 0; at < edges.length; at += EDGE_FIELDS) {
    const [from = 0, to = 0] = edges.slice(at, at + 2);
    const known = targets.get(from);
    if (known) known.push(to);
    else targets.set(from, [to]);
  }
  const seen = new Set([0]); // the root
  for (const node of seen) for (const target of targets.get(node) ?? []) seen.add(target);
  const counts = new Map<string, number>();
  for (let at = 0; at < nodes.length; at += NODE_FIELDS) {
    if (!seen.has(nodes[at] ?? -1)) continue;
    const name = nodeClassNames[nodes[at + 2] ?? -1] ?? "?";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
