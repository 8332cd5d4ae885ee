// SPDX-License-Identifier: Apache-2.0
// Ways for control messages: over every listed connection, also those without a data path. Computed when asked for and kept until
// the topology changes.
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import { nearest, Search } from "./search.ts";
import type { Topology } from "./topology.ts";

export class GossipPaths {
  readonly #topology: Topology;
  readonly #self: PeerName;
  readonly #neighbours: Neighbours;
  #key = "";
  #search: Search | undefined;
  #unplaced: { revision: number; reachable: ReadonlySet<PeerName>; list: readonly Neighbour[] } = {
    revision: -1,
    reachable: new Set(),
    list: [],
  };
  readonly #places = new Map<PeerName, { children: readonly PeerName[]; nearer: readonly number[] } | undefined>();

  constructor(topology: Topology, self: PeerName, neighbours: Neighbours) {
    this.#topology = topology;
    this.#self = self;
    this.#neighbours = neighbours;
  }

  /** Whom we pass on what comes along the tree of `root`; undefined: we do not see that peer. */
  children(root: PeerName): readonly PeerName[] | undefined {
    return this.#place(root)?.children;
  }

  /** Neighbours that no tree reaches yet, because their record does not show our connection: everything is passed on to them. */
  unplaced(): readonly Neighbour[] {
    const reachable = this.#topology.reachable();
    const { revision } = this.#neighbours;
    if (this.#unplaced.revision !== revision || this.#unplaced.reachable !== reachable) {
      const list = [...this.#neighbours.all()].filter(({ name }) => !reachable.has(name));
      this.#unplaced = { revision, reachable, list };
    }
    return this.#unplaced.list;
  }

  /** Neighbour to hand a message for `destination` to; one that can be reached now. */
  nextHop(destination: PeerName): PeerName | undefined {
    if (this.#isUp(destination)) return destination;
    const place = this.#place(destination);
    const { graph } = this.#topology;
    const own = graph.indexOf(this.#self);
    const to = graph.indexOf(destination);
    if (!place || own === undefined || to === undefined) return undefined;
    const up = place.nearer.filter((index) => this.#isUp(graph.nameAt(index)));
    const hop = nearest(graph, to, own, up);
    return hop < 0 ? undefined : graph.nameAt(hop);
  }

  /** A neighbour of ours that is connected to `destination` too. */
  detour(destination: PeerName): PeerName | undefined {
    const { graph } = this.#topology;
    const to = graph.indexOf(destination);
    if (to === undefined) return undefined;
    for (const { name, link } of this.#neighbours.all()) {
      const via = graph.indexOf(name);
      if (link && via !== undefined && via !== to && graph.listed.isMutual(via, to)) return name;
    }
    return undefined;
  }

  #isUp(peer: PeerName): boolean {
    return this.#neighbours.get(peer)?.link !== undefined;
  }

  #place(peer: PeerName): { children: readonly PeerName[]; nearer: readonly number[] } | undefined {
    const { graph } = this.#topology;
    if (graph.indexOf(peer) === undefined) return undefined; // nothing is kept for names that somebody made up
    const key = `${graph.listed.version} ${graph.size} ${this.#topology.membership}`;
    if (key !== this.#key) {
      this.#key = key;
      this.#places.clear();
      this.#search = undefined;
    }
    if (!this.#places.has(peer)) this.#places.set(peer, this.#find(peer));
    return this.#places.get(peer);
  }

  #find(peer: PeerName): { children: readonly PeerName[]; nearer: readonly number[] } | undefined {
    const { graph } = this.#topology;
    const own = graph.indexOf(this.#self);
    const index = graph.indexOf(peer);
    if (own === undefined || index === undefined) return undefined;
    this.#search ??= new Search(graph, graph.listed, own, this.#topology.component());
    if (!this.#search.reaches(index)) return undefined;
    const { children, nearer } = this.#search.place(index, own);
    return { children: children.map((child) => graph.nameAt(child)), nearer };
  }
}
