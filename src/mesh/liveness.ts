// SPDX-License-Identifier: Apache-2.0
// Who is asked when. Not every connection is heartbeated: each peer closely watches a few successors on the ring and is watched by
// a few, connections that carry traffic without an echo are asked at once, the rest in turn. Who gets no answer tells the other
// neighbours of the silent one, and each of them looks for itself: nobody is declared dead by hearsay.
import { type Clock, every, type Instant } from "../runtime/clock.ts";
import { type Random, shuffled } from "../runtime/random.ts";
import type { Doubt } from "./doubt.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import type { DataPaths } from "./ports.ts";
import { successors, watchCount, watches } from "./ring.ts";
import type { Topology } from "./topology.ts";

/** Each watched neighbour is asked once in this time; with PATH_TIMES a dead one is noticed by all in under 3 s. */
const RING_MS = 1300;
/** One of the others in this time, divided by the number watched closely. */
const ROUND_ROBIN_MS = 4000;
const TICK_MS = 500;
const REMIND_TICKS = 4;
/** Our watcher should have been heard in this time. */
const EXPECT_MS = RING_MS + 300;
/** Control connections without a path, and those that take no data at all. */
const PING_PENDING_MS = 5000;
const PING_BLOCKED_MS = 4000;
/** Successors are chosen anew so long after the topology changed. */
const SETTLE_MS = 500;
const HINT_PAUSE_MS = 1000;
/** How many are asked for a second opinion, and how often. */
const SAMPLE = 8;
const SAMPLE_PAUSE_MS = 200;

interface Watch {
  received: number;
  sent: number;
  probes: number;
  heardAt: Instant;
  hintedAt: Instant;
}

export interface LivenessPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly paths: DataPaths;
  readonly neighbours: Neighbours;
  readonly topology: Topology;
  readonly doubt: Doubt;
  readonly self: PeerName;
  /** Twice a second. */
  tick(): void;
}

export class Liveness {
  readonly #ports: LivenessPorts;
  readonly #watches = new Map<PeerName, Watch>();
  #successors: PeerName[] = [];
  #watchers: PeerName[] = [];
  #ringAt = 0;
  #roundAt = 0;
  #timers: Disposable[] = [];
  #settling: Disposable | undefined;
  #tickDue: Instant = 0;
  #ticks = 0;
  #sampledAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(ports: LivenessPorts) {
    this.#ports = ports;
  }

  start(): void {
    const { clock, random } = this.#ports;
    this.#tickDue = clock.now() + TICK_MS;
    this.#timers.push(every(clock, TICK_MS, () => this.#tick()));
    this.#timers.push(clock.after(random.below(RING_MS), () => this.#ringTurn()));
    this.#timers.push(clock.after(random.below(ROUND_ROBIN_MS), () => this.#roundTurn()));
  }
  stop(): void {
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers = [];
    this.#settling?.[Symbol.dispose]();
  }

  forget(peer: PeerName): void {
    this.#watches.delete(peer);
    if (this.#successors.includes(peer)) this.#chooseRing();
  }

  /** Neighbours or their records changed. */
  changed(): void {
    this.#settling ??= this.#ports.clock.after(SETTLE_MS, () => {
      this.#settling = undefined;
      this.#chooseRing();
    });
  }

  #chooseRing(): void {
    const { self, topology, neighbours } = this.#ports;
    const count = watchCount(topology.reachable().size);
    const names = Array.from(neighbours.all(), (neighbour) => neighbour.name);
    const before = this.#successors;
    this.#successors = successors(self, names, count);
    for (const peer of this.#successors) if (!before.includes(peer)) this.#ask(peer);
    this.#watchers = names.filter((name) => {
      const record = topology.get(name);
      return record !== undefined && watches(name, record.connections.keys(), self, count);
    });
  }

  #ringTurn(): void {
    const count = Math.max(1, this.#successors.length);
    const peer = this.#successors[this.#ringAt++ % count];
    if (peer !== undefined) this.#ask(peer);
    const pauseMs = (RING_MS * 0.95 + this.#ports.random.below(RING_MS / 10)) / count;
    this.#timers[1] = this.#ports.clock.after(pauseMs, () => this.#ringTurn());
  }

  #roundTurn(): void {
    const { neighbours, clock } = this.#ports;
    const names = Array.from(neighbours.all(), (neighbour) => neighbour.name);
    const close = new Set([...this.#successors, ...this.#watchers]);
    const others = names.filter((name) => !close.has(name));
    const peer = others[this.#roundAt++ % Math.max(1, others.length)];
    if (peer !== undefined) this.#ask(peer);
    const count = watchCount(this.#ports.topology.reachable().size);
    this.#timers[2] = clock.after(ROUND_ROBIN_MS / count, () => this.#roundTurn());
  }

  #ask(peer: PeerName, manner: "calm" | "urgent" = "calm"): void {
    const neighbour = this.#ports.neighbours.get(peer);
    if (!neighbour) return;
    if (neighbour.blocked === undefined) neighbour.path.check(manner);
    else if (this.#ports.clock.now() - neighbour.heardAt > PING_BLOCKED_MS) neighbour.ping.check(manner);
  }

  /** Somebody got no answer from `peer`: we look at once, if it is a neighbour. */
  hint(peer: PeerName): void {
    if (!this.#ports.neighbours.get(peer)) return;
    const now = this.#ports.clock.now();
    const watch = this.#watchOf(peer);
    if (now - watch.hintedAt < HINT_PAUSE_MS) return;
    watch.hintedAt = now;
    this.#ask(peer, "urgent");
    this.askSome();
  }

  /** Somebody is silent: asks a few others at once. If they answer, we are not the cause; if not, this is more than one host. */
  askSome(): void {
    const { clock, random, neighbours } = this.#ports;
    const now = clock.now();
    if (now - this.#sampledAt < SAMPLE_PAUSE_MS) return;
    this.#sampledAt = now;
    const quiet = Array.from(neighbours.all()).filter((it) => now - this.#watchOf(it.name).heardAt > SAMPLE_PAUSE_MS);
    for (const neighbour of shuffled(random, quiet).slice(0, SAMPLE)) this.#ask(neighbour.name, "urgent");
  }

  /** A probe of ours left: it is not traffic that wants an echo. */
  probed(peer: PeerName): void {
    this.#watchOf(peer).probes++;
  }
  answered(peer: PeerName): void {
    this.#watchOf(peer).heardAt = this.#ports.clock.now();
  }

  #watchOf(peer: PeerName): Watch {
    let watch = this.#watches.get(peer);
    if (!watch) {
      const { received, sent } = this.#ports.paths.activity(peer);
      watch = { received, sent, probes: 0, heardAt: this.#ports.clock.now(), hintedAt: Number.NEGATIVE_INFINITY };
      this.#watches.set(peer, watch);
    }
    return watch;
  }

  #tick(): void {
    const now = this.#ports.clock.now();
    this.#ports.doubt.noteLateness(now - this.#tickDue);
    this.#tickDue = now + TICK_MS;
    for (const neighbour of this.#ports.neighbours.all()) this.#look(neighbour, now);
    if (++this.#ticks % REMIND_TICKS === 0) for (const it of this.#ports.neighbours.all()) this.#ports.neighbours.remind(it);
    for (const watcher of this.#watchers) {
      const watch = this.#watches.get(watcher);
      if (watch && now - watch.heardAt > EXPECT_MS) this.#ask(watcher);
    }
    this.#ports.tick();
  }

  #look(neighbour: Neighbour, now: Instant): void {
    const watch = this.#watchOf(neighbour.name);
    const { received, sent } = this.#ports.paths.activity(neighbour.name);
    const isHeard = received > watch.received;
    const isOneWay = !isHeard && sent - watch.sent > watch.probes && neighbour.pathUp;
    if (isHeard) watch.heardAt = now;
    watch.received = received;
    watch.sent = sent;
    watch.probes = 0;
    if (isOneWay) this.#ask(neighbour.name);
    const isSilent = neighbour.link && neighbour.blocked === undefined && now - neighbour.heardAt > PING_PENDING_MS;
    if (isSilent && !neighbour.pathUp) neighbour.ping.check();
  }
}
