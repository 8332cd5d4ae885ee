// SPDX-License-Identifier: Apache-2.0
// Gossip channels of other rooms: broadcasts along trees, unicasts hop by hop, and repair by digests (sync.ts asks for those).
// Channels that nobody here knows are passed on unread. What a handler cannot read is counted and goes no further; it never costs
// a connection.
import type { Counters } from "../runtime/counters.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { pick, type Random } from "../runtime/random.ts";
import { encodeMessage } from "./codec.ts";
import type { GossipPaths } from "./gossip-paths.ts";
import { MESSAGE_LIMIT_BYTES, type Message } from "./message.ts";
import { hashBytes } from "./mix.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import { formatPeerName, type PeerName } from "./peer-name.ts";
import type { Gossip, GossipHandler } from "./ports.ts";
import { Seen } from "./seen.ts";

const HOPS_MAX = 64;
const EXTRA_RELAYS = 2;
/** News that came as a repair are broadcast up to this size; more is left to the neighbours' own digests. */
const PUSH_LIMIT_BYTES = 4096;
/** Room for names and numbers around a payload. */
const ENVELOPE_BYTES = 512;

type Broadcast = Message & { readonly type: "broadcast" };
type Unicast = Message & { readonly type: "unicast" };
type Repair = Message & { readonly type: "channel-repair" };

export interface GossipPorts {
  readonly self: PeerName;
  readonly uid: string;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly neighbours: Neighbours;
  readonly paths: GossipPaths;
  /** States differ from our neighbours': compare digests soon. */
  stir(): void;
}

export class GossipChannels {
  readonly #ports: GossipPorts;
  readonly #handlers = new Map<string, GossipHandler>();
  readonly #seen = new Seen();
  readonly #dropped;
  #sequence = 0;

  constructor(ports: GossipPorts) {
    this.#ports = ports;
    this.#dropped = ports.counters.family("weave_gossip_dropped_total", "Gossip that was not delivered or not passed on.");
  }

  channel(name: string, handler: GossipHandler): Gossip {
    this.#handlers.set(name, handler);
    this.#ports.stir();
    return {
      broadcast: (delta) => this.#broadcast(name, delta),
      unicast: (peer, message) => this.#unicast(name, peer, message),
    };
  }

  /** Name and hash of the digest of every channel with a handler. */
  digests(): [string, number][] {
    return Array.from(this.#handlers, ([name, handler]) => [name, hashBytes(handler.digest())]);
  }

  #broadcast(channel: string, payload: Uint8Array): void {
    if (!this.#fits(channel, payload)) return;
    const { self, uid } = this.#ports;
    const sequence = ++this.#sequence;
    this.#seen.isNew(self, uid, sequence);
    const bytes = encodeMessage({ type: "broadcast", root: self, source: self, uid, sequence, channel, payload });
    this.toAll(bytes);
  }

  /** To every neighbour but `except`: we are the root of the tree. */
  toAll(bytes: Uint8Array, except?: PeerName): void {
    for (const neighbour of this.#ports.neighbours.all()) if (neighbour.name !== except) neighbour.sendBulk(bytes);
  }

  /** Along the tree of `root`. When we do not see that peer, the tree is ours from here on and `reroot` makes the bytes. */
  relay(root: PeerName, bytes: Uint8Array, from: PeerName, reroot: (root: PeerName) => Uint8Array): void {
    const children = this.#ports.paths.children(root);
    if (!children) {
      this.toAll(reroot(this.#ports.self), from);
      return;
    }
    for (const child of children) if (child !== from) this.#ports.neighbours.get(child)?.sendBulk(bytes);
    for (const neighbour of this.#ports.paths.unplaced()) if (neighbour.name !== from) neighbour.sendBulk(bytes);
    if (this.#ports.neighbours.isTroubled) this.#relayAtRandom(bytes, from);
  }

  /** While trees have holes, chance reaches those behind them. */
  #relayAtRandom(bytes: Uint8Array, from: PeerName): void {
    const all = [...this.#ports.neighbours.all()].filter((it) => it.name !== from && !it.isCut);
    for (let i = 0; i < EXTRA_RELAYS && all.length > 0; i++) pick(this.#ports.random, all).sendBulk(bytes);
  }

  receiveBroadcast(neighbour: Neighbour, message: Broadcast, bytes: Uint8Array): void {
    if (!this.#seen.isNew(message.source, message.uid, message.sequence)) return;
    const handler = this.#handlers.get(message.channel);
    const fresh = handler ? this.#merge(message.channel, handler, message.source, message.payload) : message.payload;
    if (fresh === undefined) return;
    const passedOn = fresh === message.payload ? bytes : encodeMessage({ ...message, payload: fresh });
    this.relay(message.root, passedOn, neighbour.name, (root) => encodeMessage({ ...message, root, payload: fresh }));
  }

  #merge(channel: string, handler: GossipHandler, from: PeerName, delta: Uint8Array): Uint8Array | undefined {
    try {
      return handler.merge(from, delta);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#report(channel, from, errorText(error));
      return undefined;
    }
  }

  #report(channel: string, peer: PeerName, reason: string): void {
    this.#dropped.add("unreadable");
    this.#ports.log.warn("gossip not understood", { channel, peer: formatPeerName(peer), reason });
  }

  #fits(channel: string, payload: Uint8Array): boolean {
    if (payload.length <= MESSAGE_LIMIT_BYTES - ENVELOPE_BYTES) return true;
    this.#dropped.add("too-long");
    this.#ports.log.error("gossip message too long", { channel, bytes: payload.length });
    return false;
  }

  #unicast(channel: string, destination: PeerName, payload: Uint8Array): boolean {
    const source = this.#ports.self;
    return (
      this.#fits(channel, payload) &&
      this.#forward({ type: "unicast", source, destination, hopsLeft: HOPS_MAX, channel, payload })
    );
  }

  /** To a neighbour, but not over our own connection with it, which may be cut. */
  unicastAround(channel: string, destination: PeerName, payload: Uint8Array): void {
    const hop = this.#ports.paths.detour(destination);
    const source = this.#ports.self;
    const message: Message = { type: "unicast", source, destination, hopsLeft: HOPS_MAX, channel, payload };
    if (hop !== undefined) this.#ports.neighbours.get(hop)?.sendBulk(encodeMessage(message));
  }

  receiveUnicast(message: Unicast): void {
    if (message.destination !== this.#ports.self) {
      if (message.hopsLeft > 0 && this.#forward({ ...message, hopsLeft: message.hopsLeft - 1 })) return;
      this.#dropped.add("no-route");
      return;
    }
    const handler = this.#handlers.get(message.channel);
    if (!handler) {
      this.#dropped.add("unknown-channel");
      return;
    }
    try {
      handler.received(message.source, message.payload);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#report(message.channel, message.source, errorText(error));
    }
  }

  #forward(message: Unicast): boolean {
    const hop = this.#ports.paths.nextHop(message.destination);
    const neighbour = hop === undefined ? undefined : this.#ports.neighbours.get(hop);
    return neighbour?.sendBulk(encodeMessage(message)) ?? false;
  }

  /** A neighbour's hashes differ from ours: show it our digest, it answers with what we lack. */
  compare(neighbour: Neighbour, theirs: readonly (readonly [string, number])[]): void {
    const ours = new Map(this.digests());
    for (const [channel, hash] of theirs) {
      const handler = this.#handlers.get(channel);
      if (!handler || ours.get(channel) === hash) continue;
      neighbour.send({ type: "channel-digest", channel, digest: handler.digest() });
    }
  }

  receiveDigest(neighbour: Neighbour, message: Message & { type: "channel-digest" }): void {
    const handler = this.#handlers.get(message.channel);
    if (handler) this.#repair(neighbour, message.channel, handler, message.digest, handler.digest());
  }

  /** `shown`: our digest, for them to answer in turn; empty: they need not. */
  #repair(neighbour: Neighbour, channel: string, handler: GossipHandler, theirs: Uint8Array, shown: Uint8Array): void {
    const payload = this.#missing(neighbour, channel, handler, theirs);
    const isUseful = payload !== undefined || shown.length > 0;
    if (!isUseful || (payload && !this.#fits(channel, payload))) return;
    neighbour.send({ type: "channel-repair", channel, payload: payload ?? new Uint8Array(0), digest: shown });
  }

  #missing(neighbour: Neighbour, channel: string, handler: GossipHandler, theirs: Uint8Array): Uint8Array | undefined {
    try {
      return handler.missing(theirs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#report(channel, neighbour.name, errorText(error));
      return undefined;
    }
  }

  receiveRepair(neighbour: Neighbour, message: Repair): void {
    const { channel, payload, digest } = message;
    const handler = this.#handlers.get(channel);
    if (!handler) return;
    const fresh = payload.length > 0 ? this.#merge(channel, handler, neighbour.name, payload) : undefined;
    if (fresh) {
      if (fresh.length <= PUSH_LIMIT_BYTES) this.#broadcast(channel, fresh);
      this.#ports.stir();
    }
    if (digest.length > 0) this.#repair(neighbour, channel, handler, digest, new Uint8Array(0));
  }
}
