// SPDX-License-Identifier: Apache-2.0
// Hands out what the next life of this daemon wants to know, a moment after it changed.
import type { Clock } from "../runtime/clock.ts";
import type { Neighbours } from "./neighbours.ts";
import type { Publisher } from "./publisher.ts";
import type { RestoredMesh } from "./restore.ts";
import type { Revocations } from "./revocations.ts";
import type { Topology } from "./topology.ts";

/** The state is saved so long after a change, longer in a big mesh where it is large. */
const MIN_MS = 200;
const PER_PEER_MS = 20;

export interface SavedParts {
  readonly publisher: Publisher;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  readonly revocations: Revocations;
}

export class StateSaver {
  readonly #clock: Clock;
  readonly #parts: SavedParts;
  readonly #remember: (state: RestoredMesh) => void;
  #timer: Disposable | undefined;

  constructor(clock: Clock, parts: SavedParts, remember: (state: RestoredMesh) => void) {
    this.#clock = clock;
    this.#parts = parts;
    this.#remember = remember;
  }

  soon(): void {
    const pauseMs = MIN_MS + PER_PEER_MS * this.#parts.topology.graph.size;
    this.#timer ??= this.#clock.after(pauseMs, () => this.now());
  }

  now(): void {
    this.stop();
    const { publisher, topology, neighbours, revocations } = this.#parts;
    const { name, version, shortId } = publisher.record;
    this.#remember({
      savedAtMs: Math.floor(this.#clock.wallMs()),
      name,
      version,
      shortId,
      records: Array.from(topology.reachable(), (peer) => topology.get(peer)!),
      neighbours: [...neighbours.all()].filter((neighbour) => neighbour.established).map((neighbour) => neighbour.facts),
      revoked: revocations.list(),
    });
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }
}
