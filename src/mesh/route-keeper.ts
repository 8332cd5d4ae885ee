// SPDX-License-Identifier: Apache-2.0
// Keeps the routes in step with the topology: recomputed a moment after changes, several at once, told only when they differ.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { PeerName } from "./peer-name.ts";
import type { Routes } from "./ports.ts";
import { computeRoutes, type RouteFacts, sameRoutes } from "./routes.ts";
import type { Topology } from "./topology.ts";

// The first change after a quiet time is followed at once, own ones sooner than others'. While changes keep coming the pause doubles up
// to a maximum that grows with the mesh, because a computation costs more there and more changes come.
const URGENT_MS = 2;
const SOON_MS = 10;
const PER_PEER_MS = 0.04;
const MAX_MS = 20;
const MAX_PER_PEER_MS = 0.8;
const QUIET_MS = 500;

export class RouteKeeper {
  readonly #clock: Clock;
  readonly #topology: Topology;
  readonly #self: PeerName;
  readonly #facts: RouteFacts;
  readonly #onRoutes: (routes: Routes) => void;
  readonly #onComputed: () => void;
  #routes: Routes = { unicast: new Map(), trees: new Map(), shortIds: new Map() };
  #computedAt: Instant = Number.NEGATIVE_INFINITY;
  #backoff = 1;
  #timer: { at: Instant; handle: Disposable } | undefined;

  constructor(options: {
    clock: Clock;
    topology: Topology;
    self: PeerName;
    facts: RouteFacts;
    /** Called when something differs from before. */
    onRoutes(routes: Routes): void;
    /** Called after every computation. */
    onComputed(): void;
  }) {
    this.#clock = options.clock;
    this.#topology = options.topology;
    this.#self = options.self;
    this.#facts = options.facts;
    this.#onRoutes = options.onRoutes;
    this.#onComputed = options.onComputed;
  }

  get routes(): Routes {
    return this.#routes;
  }

  changed(urgency: "now" | "soon"): void {
    const now = this.#clock.now();
    const size = this.#topology.graph.size;
    if (now - this.#computedAt > QUIET_MS) this.#backoff = 1;
    const firstMs = (urgency === "now" ? URGENT_MS : SOON_MS) + size * PER_PEER_MS;
    const pauseMs = Math.min(firstMs * this.#backoff, MAX_MS + size * MAX_PER_PEER_MS);
    if (this.#timer && this.#timer.at <= now + pauseMs) return;
    this.stop();
    this.#timer = { at: now + pauseMs, handle: this.#clock.after(pauseMs, () => this.settle()) };
  }

  /** Computes at once and tells the routes even when there are none. */
  start(): void {
    this.#compute();
    this.#onRoutes(this.#routes);
    this.#onComputed();
  }

  /** Follows what has changed at once. */
  settle(): void {
    if (this.#compute()) this.#onRoutes(this.#routes);
    this.#onComputed();
  }

  /** True when something differs. */
  #compute(): boolean {
    this.stop();
    this.#computedAt = this.#clock.now();
    this.#backoff = Math.min(64, this.#backoff * 2);
    const routes = computeRoutes(this.#topology.graph, this.#self, this.#facts);
    if (sameRoutes(routes, this.#routes)) return false;
    this.#routes = routes;
    return true;
  }

  stop(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
  }
}
