// SPDX-License-Identifier: Apache-2.0
// The connection limit. Those who are in the mesh already are refused when it is reached; a newcomer may be lost without us, so for it
// a connection is given up that the mesh can do without.
import { reservedSlots, wantedDegree } from "./discovery.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import { isConnectedWithout } from "./search.ts";
import type { Topology } from "./topology.ts";

export interface RoomPorts {
  readonly self: PeerName;
  /** 0: none. */
  readonly limit: number;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  /** People asked for a connection with that peer. */
  isTarget(peer: PeerName): boolean;
}

export class Room {
  readonly #ports: RoomPorts;

  constructor(ports: RoomPorts) {
    this.#ports = ports;
  }

  /** The limit, when `peer` may not become one more neighbour; undefined stands for somebody we know nothing of. */
  limitFor(peer: PeerName | undefined): number | undefined {
    const { limit, topology, neighbours } = this.#ports;
    if (limit === 0 || (peer !== undefined && neighbours.get(peer))) return undefined;
    const isStranger = peer === undefined || !topology.reachable().has(peer);
    const degree = peer === undefined ? 0 : (topology.get(peer)?.connections.size ?? 0);
    const isPoor = isStranger || degree < wantedDegree(Number.MAX_SAFE_INTEGER, limit) / 2;
    if (neighbours.count < (isPoor ? limit : limit - reservedSlots(limit))) return undefined;
    return isStranger && this.spare() ? undefined : limit;
  }

  /** The neighbour to part with when one more has come than the limit allows. */
  excess(): Neighbour | undefined {
    const { limit, neighbours } = this.#ports;
    return limit > 0 && neighbours.count > limit ? this.spare() : undefined;
  }

  /** The best connected neighbour that stays in the mesh without us. */
  spare(): Neighbour | undefined {
    const { topology, neighbours, self, isTarget } = this.#ports;
    const { graph } = topology;
    const own = graph.indexOf(self);
    let best: { neighbour: Neighbour; degree: number } | undefined;
    for (const neighbour of neighbours.all()) {
      const index = graph.indexOf(neighbour.name);
      const degree = topology.get(neighbour.name)?.connections.size ?? 0;
      if (own === undefined || index === undefined || degree < 2 || degree <= (best?.degree ?? 0) || isTarget(neighbour.name))
        continue;
      if (isConnectedWithout(graph.listed, own, index)) best = { neighbour, degree };
    }
    return best?.neighbour;
  }
}
