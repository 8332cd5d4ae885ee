// SPDX-License-Identifier: Apache-2.0
// Two overlays, each with a switch, a sleeve and WireGuard of make-believe, and a network between them in which each kind of datagram can be
// lost, on virtual time. What is real: everything in src/overlay. The mesh's part (asking for signs of life) is a simple loop.

import { Doubt } from "../../../src/mesh/doubt.ts";
import { type PeerName, peerNameFrom, type ShortId } from "../../../src/mesh/peer-name.ts";
import type { Neighbour, PathSecret, PathSession } from "../../../src/mesh/ports.ts";
import { PATH_TIMES, Prober } from "../../../src/mesh/prober.ts";
import type { Ip } from "../../../src/net/ip.ts";
import type { SleeveSession, Switch, WireguardPeer } from "../../../src/overlay/carriers.ts";
import { Overlay } from "../../../src/overlay/paths.ts";
import type { DatapathPlan, Path, PathKind } from "../../../src/overlay/plan.ts";
import type { ProbeReply } from "../../../src/overlay/probe-poller.ts";
import { type Clock, every } from "../../../src/runtime/clock.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { VirtualTime } from "./virtual-clock.ts";

export const MTU_BYTES = 1400;
const DATA_PORT = 6784;

/** What the network does to datagrams of one kind. */
export interface Weather {
  /** Largest inner frame that gets through; 0: none. */
  largest: number;
  latencyMs: number;
  loss: number;
}

export interface EndOptions {
  readonly passwordUsed?: boolean;
  readonly trusted?: boolean;
  readonly fastdp?: boolean;
  readonly wireguard?: boolean;
  readonly sleeve?: boolean;
  readonly ciphers?: readonly ("aes256gcm" | "chacha20poly1305")[];
}

export class PathWorld {
  readonly time = new VirtualTime();
  readonly weather: Record<PathKind, Weather> = {
    fastdp: { largest: 65_535, latencyMs: 0.2, loss: 0 },
    wireguard: { largest: 65_535, latencyMs: 0.3, loss: 0 },
    sleeve: { largest: 65_535, latencyMs: 0.5, loss: 0 },
  };
  readonly random = seededRandom(7);
  readonly a: End;
  readonly b: End;
  /** The control connection delivers. */
  controlUp = true;

  constructor(a: EndOptions = {}, b: EndOptions = a) {
    this.a = new End(this, 1, a);
    this.b = new End(this, 2, b);
    this.a.other = this.b;
    this.b.other = this.a;
  }

  run(ms: number): void {
    this.time.runUntil(this.time.now() + ms);
  }
  /** How long it takes until `holds`. @throws {Error} never within `limitMs` */
  runUntil(holds: () => boolean, limitMs: number, what: string): number {
    const start = this.time.now();
    while (!holds()) {
      if (this.time.now() - start > limitMs) throw new Error(`not ${what} within ${limitMs} ms`);
      this.run(1);
    }
    return this.time.now() - start;
  }
  /** A new control connection; `a` dials. */
  connect(): void {
    const secrets = { sleeve: this.#secret(), wireguard: this.#secret() };
    const sessions = [this.a, this.b].map((end): PathSession => {
      const left = new Map(Object.entries(secrets));
      return {
        initiator: end === this.a,
        localAddress: end.ip,
        remoteAddress: end.other.ip,
        takeSecret: (use: PathSecret) => {
          const secret = left.get(use)?.slice();
          left.delete(use);
          return secret;
        },
        send: (payload) => {
          if (!this.controlUp) return;
          this.time.after(0.3, () => end.other.overlay.received(end.name, end.other.session!, payload));
        },
      };
    });
    this.a.connected(sessions[0]!);
    this.b.connected(sessions[1]!);
  }
  #secret(): Uint8Array {
    return Uint8Array.from({ length: 32 }, () => this.random.below(256));
  }
  use(): string {
    return `${this.a.used} ${this.b.used}`;
  }
}

export class End implements Switch {
  readonly world: PathWorld;
  readonly name: PeerName;
  readonly shortId: ShortId;
  readonly ip: Ip;
  readonly options: EndOptions;
  overlay: Overlay;
  other!: End;
  session: PathSession | undefined;
  plan: DatapathPlan | undefined;
  /** Left by an earlier daemon. */
  left: DatapathPlan | undefined;
  readonly sleeves = new Map<number, SleeveSession>();
  readonly opened: SleeveSession[] = [];
  peers: readonly WireguardPeer[] = [];
  deadAt: number | undefined;
  sentBytes = 0;
  probesSent: { kind: PathKind; at: number; frameBytes: number }[] = [];
  #replies: ProbeReply[] = [];
  #prober: Prober | undefined;

  constructor(world: PathWorld, number: number, options: EndOptions) {
    this.world = world;
    this.options = options;
    this.name = peerNameFrom(number)!;
    this.shortId = number as ShortId;
    this.ip = `10.0.0.${number}` as Ip;
    this.overlay = this.start();
  }

  get clock(): Clock {
    const { time } = this.world;
    return { now: () => time.now(), wallMs: () => 1_000_000 + time.now(), after: (ms, fire) => time.after(ms, fire) };
  }
  get used(): string {
    const entry = this.plan?.neighbours.get(this.other.shortId);
    return entry?.send?.kind ?? "none";
  }

  /** A daemon begins, perhaps after another. */
  start(): Overlay {
    const { fastdp = true, wireguard = true, sleeve = true, ciphers = ["aes256gcm", "chacha20poly1305"] } = this.options;
    const { world } = this;
    this.overlay = new Overlay(
      { fastdp, dataPort: DATA_PORT, mtuBytes: MTU_BYTES },
      {
        clock: this.clock,
        random: world.random,
        log: silentLog,
        counters: new Counters(),
        sealing: {
          random: (length) => Uint8Array.from({ length }, () => world.random.below(256)),
          blake2b: (message) => new Uint8Array(new Bun.CryptoHasher("sha512").update(message).digest()),
          wipe: (bytes) => void bytes.fill(0),
        },
        switch: this,
        sleeve: sleeve
          ? {
              ciphers,
              openSession: (session) => {
                this.sleeves.clear();
                this.sleeves.set(session.localIndex, session);
                this.opened.push(session);
              },
              closeSession: (index) => void this.sleeves.delete(index),
            }
          : "no sleeve here",
        wireguard: wireguard
          ? {
              publicKey: new Uint8Array(32).fill(this.shortId),
              port: 6785,
              insideOf: (identity) => `fd77::${identity[0]}` as Ip,
              setPeers: (peers) => {
                this.peers = peers;
              },
            }
          : "the kernel has no WireGuard",
        replies: () => this.#replies.splice(0),
        alive: (_, rttMs) => this.#prober?.answered(rttMs),
      },
    );
    return this.overlay;
  }

  facts(session: PathSession | undefined): Neighbour {
    const { passwordUsed = false, trusted = false } = this.options;
    const { other } = this;
    const { fastdp = true, wireguard = true, sleeve = true } = other.options;
    return {
      name: other.name,
      nickname: "other",
      shortId: other.shortId,
      publicKey: new Uint8Array(32).fill(other.shortId),
      address: other.ip,
      dataPort: DATA_PORT,
      passwordUsed,
      trusted,
      transports: [...(fastdp ? ["fastdp"] : []), ...(fastdp && wireguard ? ["wireguard"] : []), ...(sleeve ? ["sleeve"] : [])],
      session,
    };
  }

  connected(session: PathSession): string | undefined {
    this.session = session;
    const { clock } = this;
    if (!this.#prober) {
      const doubt = new Doubt(clock, () => {});
      this.#prober = new Prober(clock, doubt, PATH_TIMES, {
        send: (manner) => this.overlay.probe(this.other.name, manner),
        found: () => {},
        suspected: () => {},
        dead: () => {
          this.deadAt = this.world.time.now();
        },
      });
      // As the mesh's liveness does it.
      every(clock, 1500, () => {
        this.overlay.activity(this.other.name);
        this.#prober?.check();
        this.overlay.look();
      });
    }
    this.overlay.setRoutes(this.shortId, {
      unicast: new Map([[this.other.name, this.other.name]]),
      trees: new Map(),
      shortIds: new Map([
        [this.name, this.shortId],
        [this.other.name, this.other.shortId],
      ]),
    });
    const reason = this.overlay.open(this.facts(session));
    this.overlay.release();
    this.#prober.seek();
    return reason;
  }

  // Switch

  apply(plan: DatapathPlan): { changed: number } {
    this.plan = plan;
    return { changed: 1 };
  }
  read(): DatapathPlan | undefined {
    return this.left;
  }
  activity(): { received: number; sent: number; sentBytes: number } {
    return { received: 0, sent: 0, sentBytes: this.sentBytes };
  }
  probe(_neighbour: ShortId, path: Path, sequence: number, frameBytes = 22): void {
    const { time } = this.world;
    const sentAt = time.now();
    this.probesSent.push({ kind: path.kind, at: sentAt, frameBytes });
    this.#transmit(path.kind, frameBytes, () =>
      this.other.#transmit(path.kind, frameBytes, () =>
        this.#replies.push({ neighbour: this.other.shortId, sequence, rttMs: time.now() - sentAt }),
      ),
    );
  }

  #transmit(kind: PathKind, frameBytes: number, arrived: () => void): void {
    const { weather, random, time } = this.world;
    const { largest, latencyMs, loss } = weather[kind];
    if (!this.#isReady(kind) || frameBytes > largest || random.below(1000) < loss * 1000) return;
    time.after(latencyMs, arrived);
  }
  /** What the kernels and carriers of both ends must know for a frame to get through. */
  #isReady(kind: PathKind): boolean {
    if (kind === "fastdp") return this.#takes("fastdp") && this.other.#takes("fastdp");
    if (kind === "wireguard") return this.#knows() && this.other.#knows();
    const [ours] = this.sleeves.values();
    const [theirs] = this.other.sleeves.values();
    return (
      ours !== undefined &&
      theirs !== undefined &&
      ours.remoteIndex === theirs.localIndex &&
      theirs.remoteIndex === ours.localIndex &&
      ours.cipher === theirs.cipher &&
      ours.initiator !== theirs.initiator &&
      Buffer.compare(ours.secret ?? new Uint8Array(0), theirs.secret ?? new Uint8Array(0)) === 0
    );
  }
  #takes(kind: PathKind): boolean {
    return this.plan?.neighbours.get(this.other.shortId)?.accept.some((path) => path.kind === kind) ?? false;
  }
  #knows(): boolean {
    return this.#takes("wireguard") && this.peers.length > 0;
  }
}
