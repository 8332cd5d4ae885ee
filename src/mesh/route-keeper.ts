// SPDX-License-Identifier: Apache-2.0
// Keeps the routes in step with the topology: recomputed a moment after changes, several at once, told only when they differ.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { PeerName } from "./peer-name.ts";
import type { Routes } from "./ports.ts";
import { computeRoutes, type RouteFacts, sameRoutes } from "./routes.ts";
import type { Topology } from "./topology.ts";

// Own neighbours coming or going matter at once, news from elsewhere can wait a little, longer in a big mesh where they are many.
const URGENT_MS = 2;
const PER_PEER_MS = 0.5;
const MAX_MS = 250;

export class RouteKeeper {
  readonly #clock: Clock;
  readonly #topology: Topology;
  readonly #self: PeerName;
  readonly #facts: RouteFacts;
  readonly #onRoutes: (routes: Routes) => void;
  readonly #onComputed: () => void;
  #routes: Routes = { unicast: new Map(), trees: new Map(), shortIds: new Map() };
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
    const size = this.#topology.graph.size;
    const pauseMs = urgency === "now" ? URGENT_MS + size / 25 : Math.min(MAX_MS, URGENT_MS + size * PER_PEER_MS);
    const at = this.#clock.now() + pauseMs;
    if (this.#timer && this.#timer.at <= at) return;
    this.stop();
    this.#timer = { at, handle: this.#clock.after(pauseMs, () => this.#recompute()) };
  }

  /** Computes at once and tells the routes even when there are none. */
  start(): void {
    this.#compute();
    this.#onRoutes(this.#routes);
    this.#onComputed();
  }

  #recompute(): void {
    if (this.#compute()) this.#onRoutes(this.#routes);
    this.#onComputed();
  }

  /** True when something differs. */
  #compute(): boolean {
    this.stop();
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
