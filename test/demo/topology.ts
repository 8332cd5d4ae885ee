// SPDX-License-Identifier: Apache-2.0
// The mesh as text, drawn from what a daemon reports: who is connected with whom, and how frames find their way.
import type { StatusModel } from "../../src/api/status.ts";

/** Undirected connections by nickname, sorted, each once. */
export function edges(status: StatusModel): (readonly [string, string])[] {
  const found = new Map<string, readonly [string, string]>();
  for (const peer of status.router.peers) {
    for (const { nickname, established } of peer.connections) {
      if (!established) continue;
      const pair = [peer.nickname, nickname].sort() as [string, string];
      found.set(pair.join(" "), pair);
    }
  }
  return [...found.values()].sort();
}

/** The peers in a line if the mesh is a chain, its two ends first and last; undefined when it is not one. */
function chain(pairs: readonly (readonly [string, string])[]): string[] | undefined {
  const neighbours = new Map<string, string[]>();
  for (const [a, b] of pairs) {
    neighbours.set(a, [...(neighbours.get(a) ?? []), b]);
    neighbours.set(b, [...(neighbours.get(b) ?? []), a]);
  }
  const ends = [...neighbours].filter(([, others]) => others.length === 1).map(([name]) => name);
  if (ends.length !== 2 || pairs.length !== neighbours.size - 1) return undefined;
  const line: string[] = [];
  let at = ends.sort()[0];
  while (at !== undefined) {
    line.push(at);
    at = (neighbours.get(at) ?? []).find((other) => !line.includes(other));
  }
  return line.length === neighbours.size ? line : undefined;
}

/** Boxes in a row with what lives on each, or a list of connections when the mesh is no chain.
 *  @param residents lines to write below each host's name */
export function drawTopology(status: StatusModel, residents: ReadonlyMap<string, readonly string[]>): string {
  const pairs = edges(status);
  const line = chain(pairs);
  if (line === undefined) return pairs.map(([a, b]) => `${a} ═══ ${b}`).join("\n");
  const boxes = line.map((name) => box(name, residents.get(name) ?? []));
  const height = Math.max(...boxes.map((rows) => rows.length));
  const rows: string[] = [];
  for (let row = 0; row < height; row++) {
    const joint = row === 1 ? "════" : "    ";
    rows.push(boxes.map((lines) => lines[row] ?? " ".repeat(lines[0]?.length ?? 0)).join(joint));
  }
  return rows.map((row) => row.trimEnd()).join("\n");
}

function box(title: string, lines: readonly string[]): string[] {
  const width = Math.max(title.length, ...lines.map((line) => line.length));
  const wide = (text: string) => `│ ${text.padEnd(width)} │`;
  return [`┌${"─".repeat(width + 2)}┐`, wide(title), ...lines.map(wide), `└${"─".repeat(width + 2)}┘`];
}

/** How a host's frames get to the others: `A → C by way of B`. */
export function drawRoutes(status: StatusModel): string {
  const nickname = new Map(status.router.peers.map((peer) => [peer.name, peer.nickname]));
  const self = status.router.nickname;
  return status.router.unicastRoutes
    .filter(({ destination }) => destination !== status.router.name)
    .map(({ destination, via }) => {
      const [to, by] = [nickname.get(destination) ?? destination, via === null ? undefined : nickname.get(via)];
      return by === undefined || by === to ? `${self} → ${to} directly` : `${self} → ${to} by way of ${by}`;
    })
    .sort()
    .join("\n");
}
