// SPDX-License-Identifier: Apache-2.0
// What the kernel switch should hold, as plain values. `planDatapath` derives it from the mesh's routes; `host/datapath.ts` makes it so.
import type { PeerName, ShortId } from "../mesh/peer-name.ts";
import type { Routes } from "../mesh/ports.ts";
import type { Ip } from "../net/ip.ts";

export interface DatapathPlan {
  readonly self: ShortId;
  /** Direct neighbours with a data path: where to send, and whose frames to take. */
  readonly neighbours: ReadonlyMap<ShortId, NeighbourEntry>;
  /** Destination -> neighbour to hand the frame to. */
  readonly nextHops: ReadonlyMap<ShortId, ShortId>;
  /** Source -> our place in its broadcast tree; `parent` 0 at the source itself. */
  readonly floods: ReadonlyMap<ShortId, FloodEntry>;
}
export interface NeighbourEntry {
  readonly address: Ip;
  readonly dataPort: number;
}
export interface FloodEntry {
  readonly parent: number;
  /** Ascending. */
  readonly hops: readonly ShortId[];
}

/** A neighbour the overlay has opened: clear frames may go to it and come from it. */
export interface OpenNeighbour extends NeighbourEntry {
  readonly shortId: ShortId;
}

/** Routes by name -> map contents by short id. A route over a neighbour that is not open is left out: no frame may take it. */
export function planDatapath(self: ShortId, neighbours: ReadonlyMap<PeerName, OpenNeighbour>, routes: Routes): DatapathPlan {
  const nextHops = new Map<ShortId, ShortId>();
  for (const [destination, neighbour] of routes.unicast) {
    const id = routes.shortIds.get(destination);
    const hop = neighbours.get(neighbour);
    if (id !== undefined && hop && id !== self) nextHops.set(id, hop.shortId);
  }
  const floods = new Map<ShortId, FloodEntry>();
  for (const [source, place] of routes.trees) {
    const id = routes.shortIds.get(source);
    if (id === undefined) continue;
    const hops = place.children.flatMap((child) => neighbours.get(child)?.shortId ?? []).sort((a, b) => a - b);
    const parent = place.parent === undefined ? 0 : neighbours.get(place.parent)?.shortId;
    if (parent !== undefined) floods.set(id, { parent, hops });
  }
  const entries = [...neighbours.values()].map(({ shortId, address, dataPort }) => [shortId, { address, dataPort }] as const);
  return { self, neighbours: new Map(entries), nextHops, floods };
}

export const EMPTY_ROUTES: Routes = { unicast: new Map(), trees: new Map(), shortIds: new Map() };
