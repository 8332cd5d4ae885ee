// SPDX-License-Identifier: Apache-2.0
// Allocators on a virtual clock and a gossip network that delays, loses, and is cut; each has a disk of its own. Digests repair what got lost, as the
// mesh does. The mesh itself is simulated elsewhere.
import { Allocator, type AllocatorOptions } from "../../../src/ipam/allocator.ts";
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import type { Gossip, GossipHandler } from "../../../src/mesh/ports.ts";
import { parseCidr } from "../../../src/net/cidr.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { pick, type Random, seededRandom } from "../../../src/runtime/random.ts";
import { MemoryJournal } from "../../support/ipam-journal.ts";
import { VirtualTime } from "./virtual-clock.ts";

const REPAIR_MS = 400;

export class IpamHost {
  readonly name: PeerName;
  readonly journal = new MemoryJournal();
  group = 0;
  /** How many it expects; undefined: as many as all. */
  electors: number | undefined;
  allocator: Allocator | undefined;
  handler: GossipHandler | undefined;
  #life = 0;
  readonly #world: IpamWorld;
  readonly #options: Partial<AllocatorOptions>;

  constructor(world: IpamWorld, name: number, options: Partial<AllocatorOptions>) {
    this.#world = world;
    this.name = name as PeerName;
    this.#options = options;
  }

  /** `open: false`: it has not looked yet what is in use there. */
  start(how: { readonly open: boolean } = { open: true }): Allocator {
    const world = this.#world;
    const life = ++this.#life;
    this.allocator = new Allocator(
      { self: this.name, nickname: `host${this.name}`, ...world.defaults, ...this.#options },
      {
        clock: this.#clock(life),
        random: seededRandom(world.random.below(2 ** 32)),
        log: silentLog,
        journal: this.journal,
        channel: (handler) => {
          this.handler = handler;
          return this.#gossip();
        },
        peers: () => new Map(world.reachable(this).map((host) => [host.name, `host${host.name}`])),
        electors: () => this.electors ?? world.electors,
        describe: (owner) => owner,
        mayReturn: () => false,
      },
    );
    if (how.open) this.allocator.open();
    return this.allocator;
  }

  /** kill -9: what is not on its disk is gone. */
  kill(): void {
    this.#life++;
    this.allocator = undefined;
    this.handler = undefined;
  }

  #clock(life: number): Clock {
    const { time } = this.#world;
    return {
      now: () => time.now(),
      wallMs: () => 1_767_225_600_000 + time.now(),
      after: (delayMs, fire) => time.after(delayMs, () => (this.#life === life ? fire() : undefined)),
    };
  }

  #gossip(): Gossip {
    const world = this.#world;
    return {
      broadcast: (delta) => {
        for (const other of world.reachable(this)) world.deliver(this, other, (handler) => handler.merge(this.name, delta));
      },
      unicast: (peer, message) => {
        const other = world.reachable(this).find((host) => host.name === peer);
        if (other) world.deliver(this, other, (handler) => handler.received(this.name, message));
        return other !== undefined;
      },
    };
  }
}

export class IpamWorld {
  readonly seed: number;
  readonly time = new VirtualTime();
  readonly random: Random;
  readonly hosts: IpamHost[] = [];
  readonly defaults: Omit<AllocatorOptions, "self" | "nickname">;
  loss = 0;
  electors = 1;
  #names = 0;

  constructor(seed: number, range: string, defaults: Partial<AllocatorOptions> = {}) {
    this.seed = seed;
    this.random = seededRandom(seed);
    this.defaults = {
      range: parseCidr(range)!,
      init: { by: "consensus", electors: undefined },
      quarantineMs: 30_000,
      deadlineMs: 60_000,
      reclaimAfterMs: 0,
      ...defaults,
    };
    this.#repair();
  }

  add(options: Partial<AllocatorOptions> = {}): IpamHost {
    const host = new IpamHost(this, ++this.#names, options);
    this.hosts.push(host);
    host.start();
    return host;
  }
  remove(host: IpamHost): void {
    host.kill();
    this.hosts.splice(this.hosts.indexOf(host), 1);
  }

  reachable(from: IpamHost): IpamHost[] {
    return this.hosts.filter((host) => host !== from && host.handler && host.group === from.group);
  }

  deliver(from: IpamHost, to: IpamHost, give: (handler: GossipHandler) => void): void {
    if (this.loss > 0 && this.random.below(1000) < this.loss * 1000) return;
    const { handler } = to;
    this.time.after(1 + this.random.below(20), () => {
      if (handler && to.handler === handler && to.group === from.group) give(handler);
    });
  }

  /** Runs, and lets promises that were settled on the way take their effect. */
  async run(ms: number): Promise<void> {
    const until = this.time.now() + ms;
    while (this.time.now() < until) {
      this.time.runUntil(Math.min(until, this.time.now() + 20));
      for (let i = 0; i < 8; i++) await Promise.resolve();
    }
  }
  async runUntil(holds: () => boolean, limitMs: number, what: string): Promise<void> {
    const limit = this.time.now() + limitMs;
    while (!holds()) {
      if (this.time.now() >= limit) throw new Error(`seed ${this.seed}: not ${what} after ${limitMs} ms`);
      await this.run(20);
    }
  }

  /** In words: addresses that two live hosts have given out, and states that are not as they should be. */
  faults(): string[] {
    const found: string[] = [];
    const holders = new Map<number, IpamHost>();
    for (const host of this.hosts) {
      const wrong = host.allocator?.check();
      if (wrong) found.push(`seed ${this.seed}: host ${host.name}: ${wrong}`);
      for (const { address } of host.journal.leases.values()) {
        const other = holders.get(address);
        if (other) found.push(`seed ${this.seed}: hosts ${other.name} and ${host.name} both gave out ${address}`);
        holders.set(address, host);
      }
    }
    return found;
  }

  #repair(): void {
    this.time.after(REPAIR_MS, () => {
      for (const host of this.hosts) {
        const others = this.reachable(host);
        if (host.handler && others.length > 0) this.#compare(host, pick(this.random, others));
      }
      this.#repair();
    });
  }

  #compare(a: IpamHost, b: IpamHost): void {
    const [ours, theirs] = [a.handler, b.handler];
    if (!ours || !theirs) return;
    for (const [from, to, payload] of [
      [a, b, ours.missing(theirs.digest())],
      [b, a, theirs.missing(ours.digest())],
    ] as const) {
      if (payload) this.deliver(from, to, (handler) => handler.merge(from.name, payload));
    }
  }
}
