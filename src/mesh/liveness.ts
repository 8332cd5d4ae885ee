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
import type { DataPaths, ProbeManner } from "./ports.ts";
import { successors, watchCount, watches } from "./ring.ts";
import type { Topology } from "./topology.ts";

/** Each watched neighbour is asked then, and what happened is looked at: an idle daemon wakes for all of it at once. With PATH_TIMES a dead one is
 *  noticed by all in under 3 s. */
const TICK_MS = 1500;
/** One of the others in this time, divided by the number watched closely. */
const ROUND_ROBIN_MS = 4000;
/** Our watcher should have been heard in this time. */
const EXPECT_MS = TICK_MS + 300;
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
  /** Every TICK_MS. */
  tick(): void;
}

export class Liveness {
  readonly #ports: LivenessPorts;
  readonly #watches = new Map<PeerName, Watch>();
  #successors: PeerName[] = [];
  #watchers: PeerName[] = [];
  #roundAt = 0;
  #roundDue: Instant = 0;
  #timer: Disposable | undefined;
  #settling: Disposable | undefined;
  #tickDue: Instant = 0;
  #sampledAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(ports: LivenessPorts) {
    this.#ports = ports;
  }

  start(): void {
    const { clock, random } = this.#ports;
    const now = clock.now();
    this.#tickDue = now + TICK_MS;
    this.#roundDue = now + random.below(ROUND_ROBIN_MS);
    this.#timer = every(clock, TICK_MS, () => this.#tick());
  }
  stop(): void {
    this.#timer?.[Symbol.dispose]();
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

  #roundTurns(now: Instant): void {
    const pauseMs = ROUND_ROBIN_MS / watchCount(this.#ports.topology.reachable().size);
    this.#roundDue = Math.max(this.#roundDue, now - pauseMs); // after a long sleep nobody is asked twice
    for (; this.#roundDue <= now; this.#roundDue += pauseMs) {
      const names = Array.from(this.#ports.neighbours.all(), (neighbour) => neighbour.name);
      const close = new Set([...this.#successors, ...this.#watchers]);
      const others = names.filter((name) => !close.has(name));
      const peer = others[this.#roundAt++ % Math.max(1, others.length)];
      if (peer !== undefined) this.#ask(peer);
    }
  }

  #ask(peer: PeerName, manner: ProbeManner = "calm"): void {
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
    for (const neighbour of this.#ports.neighbours.all()) this.#ports.neighbours.remind(neighbour);
    for (const watcher of this.#watchers) {
      const watch = this.#watches.get(watcher);
      if (watch && now - watch.heardAt > EXPECT_MS) this.#ask(watcher);
    }
    for (const successor of this.#successors) this.#ask(successor);
    this.#roundTurns(now);
    this.#ports.tick();
    this.#ports.paths.look(); // near neighbours have answered already
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
