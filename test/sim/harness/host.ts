// SPDX-License-Identifier: Apache-2.0
// A simulated machine: a kernel that reflects path probes whether or not its daemon runs, and a daemon (one Mesh) that can be started,
// killed, restarted and starved.
import { Mesh } from "../../../src/mesh/mesh.ts";
import type { MeshOptions } from "../../../src/mesh/options.ts";
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import type { DataPaths, DialResult, Hello, HelloSource, Neighbour, Routes } from "../../../src/mesh/ports.ts";
import { decodeRestored, encodeRestored, type RestoredMesh } from "../../../src/mesh/restore.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { SimLink } from "./link.ts";
import { PROBE_BYTES, type Station } from "./network.ts";
import type { World } from "./world.ts";

/** 2026-01-01, when every simulated world begins. */
const WALL_START_MS = 1_767_225_600_000;
const HANDSHAKE_BYTES = 700;

export interface HostOptions {
  readonly ip: string;
  readonly name: PeerName;
  readonly nickname: string;
  readonly publicKey: Uint8Array;
  readonly port?: number;
  readonly discovery?: boolean;
  readonly connectionLimit?: number;
  readonly transports?: readonly string[];
  readonly passwordUsed?: boolean;
}

export class SimHost implements Station {
  readonly ip: string;
  readonly options: HostOptions;
  readonly world: World;
  isOn = true;
  sentBytes = 0;
  /** Grows with every start and end of the daemon. */
  life = 0;
  mesh: Mesh | undefined;
  routes: Routes | undefined;
  routeChanges = 0;
  readonly links = new Set<SimLink>();
  saved: RestoredMesh | undefined;
  readonly logged: string[] = [];
  /** The kernel's table of neighbours; it outlives the daemon. */
  readonly paths = new Map<PeerName, { address: string; received: number; sent: number; hasFrames: boolean }>();
  #isStalled = false;
  #lateTimers: (() => void)[] = [];
  #lateMessages: (() => void)[] = [];

  constructor(world: World, options: HostOptions) {
    this.world = world;
    this.ip = options.ip;
    this.options = options;
  }

  get name(): PeerName {
    return this.options.name;
  }
  get port(): number {
    return this.options.port ?? 6783;
  }
  get address(): string {
    return `${this.ip}:${this.port}`;
  }

  /** Starts the daemon. `restored`: from what the last one saved; `passwordSet`: if that is other than what its connections have. */
  start(targets: readonly string[] = [], how: { restored?: boolean; passwordSet?: boolean } = {}): Mesh {
    const { world } = this;
    this.life++;
    const restored = how.restored && this.saved ? decodeRestored(encodeRestored(this.saved)) : undefined;
    const options: MeshOptions = {
      name: this.options.name,
      nickname: this.options.nickname,
      publicKey: this.options.publicKey,
      port: this.port,
      discovery: this.options.discovery ?? true,
      connectionLimit: this.options.connectionLimit ?? 200,
      passwordSet: how.passwordSet ?? this.options.passwordUsed ?? false,
      trusts: () => false,
      transports: this.options.transports ?? ["fastdp"],
      restored,
    };
    this.mesh = new Mesh(options, {
      clock: this.#clock(),
      random: seededRandom(world.random.below(2 ** 32)),
      log: this.#log(),
      counters: new Counters(),
      transport: { dial: (target, hello, done) => this.#dial(target, hello, done) },
      paths: this.#dataPaths(),
      remember: (state) => {
        this.saved = state;
      },
      onRoutes: (routes) => {
        this.routes = routes;
        this.routeChanges++;
      },
      wire: world.wire,
    });
    this.mesh.start();
    if (targets.length > 0) this.mesh.connect(targets, { replace: false });
    return this.mesh;
  }

  /** Ends the daemon in an orderly way. */
  stop(manner: "restarting" | "leaving"): void {
    this.mesh?.stop(manner);
    this.#ended();
  }
  /** kill -9: the kernel closes the connections and goes on forwarding. */
  kill(): void {
    for (const link of [...this.links]) link.die(true);
    this.#ended();
  }
  /** The machine is gone. */
  powerOff(): void {
    this.isOn = false;
    for (const link of [...this.links]) link.die(false);
    this.paths.clear();
    this.#ended();
  }
  powerOn(): void {
    this.isOn = true;
  }
  #ended(): void {
    this.life++;
    this.mesh = undefined;
    this.#isStalled = false;
    this.#lateTimers = [];
    this.#lateMessages = [];
  }

  /** The daemon gets no CPU time; its kernel does. */
  stall(): void {
    this.#isStalled = true;
  }
  /** Timers fire before what waits in socket buffers, as in an event loop. */
  resume(): void {
    this.#isStalled = false;
    const late = [...this.#lateTimers, ...this.#lateMessages];
    this.#lateTimers = [];
    this.#lateMessages = [];
    for (const run of late) run();
  }
  whenAwake(run: () => void): void {
    if (this.#isStalled) this.#lateMessages.push(run);
    else run();
  }

  #clock(): Clock {
    const { time } = this.world;
    const life = this.life;
    const offset = this.world.random.below(1_000_000);
    return {
      now: () => time.now() + offset,
      wallMs: () => WALL_START_MS + time.now(),
      after: (delayMs, fire) => {
        let isOff = false;
        const run = (): void => {
          if (!isOff && this.life === life) fire();
        };
        const timer = time.after(delayMs, () => (this.#isStalled ? void this.#lateTimers.push(run) : run()));
        return {
          [Symbol.dispose]: () => {
            isOff = true;
            timer[Symbol.dispose]();
          },
        };
      },
    };
  }

  #log() {
    const write = (level: string) => (event: string, fields?: object) => {
      if (this.world.verbose || level !== "debug") this.#note(`${level} ${event} ${JSON.stringify(fields ?? {})}`);
    };
    return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  }
  #note(line: string): void {
    if (this.world.keepLogs) this.logged.push(`${this.world.time.now().toFixed(1)} ${line}`);
  }

  #dataPaths(): DataPaths {
    return {
      open: (neighbour) => this.#openPath(neighbour),
      close: (name) => void this.paths.delete(name),
      received: () => {},
      probe: (name) => this.#probe(name),
      look: () => {},
      activity: (name) => this.paths.get(name) ?? { received: 0, sent: 0 },
    };
  }
  #openPath(neighbour: Neighbour): string | undefined {
    if (!neighbour.transports.includes("fastdp") || (neighbour.passwordUsed && !neighbour.trusted)) {
      this.paths.delete(neighbour.name);
      return "no encrypted transport in common";
    }
    const known = this.paths.get(neighbour.name);
    if (known) known.address = neighbour.address;
    else this.paths.set(neighbour.name, { address: neighbour.address, received: 0, sent: 0, hasFrames: false });
    return undefined;
  }

  #probe(name: PeerName): void {
    const path = this.paths.get(name);
    if (!path) return;
    const { network, time } = this.world;
    const other = this.world.hostAt(path.address);
    const sentAt = time.now();
    const life = this.life;
    path.sent++;
    if (!other) return;
    network.datagram(this, other, PROBE_BYTES, () => {
      const back = other.paths.get(this.name);
      if (back?.address !== this.ip) return;
      back.received++;
      back.sent++;
      network.datagram(other, this, PROBE_BYTES, () => {
        if (this.life !== life) return;
        path.received++;
        this.whenAwake(() => this.mesh?.pathReply(name, time.now() - sentAt));
      });
    });
  }

  #dial(target: string, source: HelloSource, done: (result: DialResult) => void): Disposable {
    const { network, time } = this.world;
    const life = this.life;
    let isOff = false;
    const report = (delayMs: number, result: () => DialResult): void => {
      time.after(delayMs, () =>
        this.whenAwake(() => {
          if (!isOff && this.life === life) done(result());
        }),
      );
    };
    const other = this.world.hostAt(target.slice(0, target.lastIndexOf(":")));
    const port = Number(target.slice(target.lastIndexOf(":") + 1));
    network.account(this, 74);
    if (!other || !network.passes(this, other)) report(5000, () => ({ error: `dial tcp ${target}: timed out` }));
    else if (!other.mesh || other.port !== port) {
      report(2 * network.latencyMs(this, other), () => ({ error: `dial tcp ${target}: connection refused` }));
    } else {
      network.account(this, HANDSHAKE_BYTES);
      network.account(other, HANDSHAKE_BYTES);
      const otherLife = other.life;
      const rttMs = network.streamDelayMs(this, other) + network.streamDelayMs(other, this);
      report(2 * rttMs, () => {
        if (other.life !== otherLife || !network.passes(this, other)) return { error: `dial tcp ${target}: connection reset` };
        return { link: this.#connect(other, target, source) };
      });
    }
    return {
      [Symbol.dispose]: () => {
        isOff = true;
      },
    };
  }

  #connect(other: SimHost, target: string, source: HelloSource): SimLink {
    const { network, time } = this.world;
    const from = `${this.ip}:${32_768 + network.random.below(28_000)}`;
    const ours: Hello = { ...source(target), publicKey: this.options.publicKey };
    const theirs: Hello = { ...other.mesh!.helloFor(from), publicKey: other.options.publicKey };
    const passwordUsed = this.options.passwordUsed ?? false;
    const out = { outbound: true, passwordUsed, remoteAddress: target, localAddress: from, hello: theirs, sentHello: ours };
    const into = { outbound: false, passwordUsed, remoteAddress: from, localAddress: target, hello: ours, sentHello: theirs };
    const outbound = new SimLink(network, this, out);
    const inbound = new SimLink(network, other, into);
    outbound.other = inbound;
    inbound.other = outbound;
    const { life } = other;
    time.after(network.streamDelayMs(this, other), () =>
      other.whenAwake(() => {
        if (other.life === life) other.mesh?.accepted(inbound);
      }),
    );
    return outbound;
  }
}
