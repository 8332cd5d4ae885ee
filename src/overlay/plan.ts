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
export type PathKind = "fastdp" | "wireguard" | "sleeve";
export type Path =
  /** Its underlay address. */
  | { readonly kind: "fastdp"; readonly address: Ip }
  /** Its inside address. */
  | { readonly kind: "wireguard"; readonly address: Ip }
  | { readonly kind: "sleeve" };
export interface NeighbourEntry {
  /** Where frames for it go; undefined: nowhere, and routes over it are left out. */
  readonly send: Path | undefined;
  /** From where its frames and probes are taken. At most one underlay and one inside address. */
  readonly accept: readonly Path[];
  readonly dataPort: number;
  /** Largest inner IP packet, for the MSS clamp; 0: none. */
  readonly mtuBytes: number;
}
export interface FloodEntry {
  readonly parent: number;
  /** Ascending. */
  readonly hops: readonly ShortId[];
}

/** A neighbour the overlay has opened. */
export interface OpenNeighbour extends NeighbourEntry {
  readonly shortId: ShortId;
}

/** Routes by name -> map contents by short id. A route over a neighbour that is not open is left out: no frame may take it. */
export function planDatapath(self: ShortId, neighbours: ReadonlyMap<PeerName, OpenNeighbour>, routes: Routes): DatapathPlan {
  const nextHops = new Map<ShortId, ShortId>();
  for (const [destination, neighbour] of routes.unicast) {
    const id = routes.shortIds.get(destination);
    const hop = neighbours.get(neighbour);
    if (id !== undefined && hop?.send && id !== self) nextHops.set(id, hop.shortId);
  }
  const floods = new Map<ShortId, FloodEntry>();
  for (const [source, place] of routes.trees) {
    const id = routes.shortIds.get(source);
    if (id === undefined) continue;
    const hops = place.children.flatMap((child) => sendable(neighbours.get(child))?.shortId ?? []).sort((a, b) => a - b);
    const parent = place.parent === undefined ? 0 : neighbours.get(place.parent)?.shortId;
    if (parent !== undefined) floods.set(id, { parent, hops });
  }
  const entries = [...neighbours.values()].map(({ shortId, ...entry }) => [shortId, entry] as const);
  return { self, neighbours: new Map(entries), nextHops, floods };
}

function sendable(neighbour: OpenNeighbour | undefined): OpenNeighbour | undefined {
  return neighbour?.send && neighbour;
}

export const EMPTY_ROUTES: Routes = { unicast: new Map(), trees: new Map(), shortIds: new Map() };
