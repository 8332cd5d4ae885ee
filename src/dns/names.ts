// SPDX-License-Identifier: Apache-2.0
// The names of the whole network as this peer knows them, and its own among them. Each peer writes its own and tells the others; what got lost is
// found by comparing digests. Names of peers that cannot be reached are kept but hidden, and forgotten after half an hour.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Gossip, GossipHandler } from "../mesh/ports.ts";
import { type Clock, every, type Instant } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import { CHANGES_MAX, decodeDeltas, decodeDigest, EPOCH_MAX, encodeDeltas, encodeDigest, type OriginDelta } from "./codec.ts";
import { Directory } from "./directory.ts";
import { type Entry, type EntryView, EXTERN_OWNER, entryKey } from "./entry.ts";
import { type Delta, ENTRIES_MAX, Replica } from "./replica.ts";

export const NAMES_CHANNEL = "names";
/** How long the names of a peer that is away are kept for its return. */
const AWAY_MS = 30 * 60_000;
const SWEEP_MS = 60_000;
/** Peers of which names are kept; what of others arrives first is taken when there is room. */
const REPLICAS_MAX = 4096;
/** Names of others altogether; beyond that nothing new is taken. About 300 MB. */
const NAMES_MAX = 524_288;

/** Durable record of this peer's own names. Every call is on disk when it returns. */
export interface NameJournal {
  names(): readonly Entry[];
  change(added: readonly Entry[], removed: readonly Entry[]): void;
}

export interface NamesPorts {
  readonly clock: Clock;
  readonly journal: NameJournal;
  channel(handler: GossipHandler): Gossip;
}

export interface EntryFilter {
  readonly name?: string;
  readonly container?: string;
  readonly addresses?: readonly string[];
}

export class Names implements Disposable {
  readonly directory = new Directory();
  readonly #self: PeerName;
  readonly #ports: NamesPorts;
  readonly #gossip: Gossip;
  readonly #own: Replica;
  readonly #others = new Map<PeerName, { readonly replica: Replica; awaySince: Instant | undefined }>();
  readonly #sweeping: Disposable;
  #present: ReadonlySet<PeerName> = new Set();
  #digest: Uint8Array | undefined;
  #isTold = false;
  #size = 0;

  /** Nothing is told before `start`. */
  constructor(self: PeerName, ports: NamesPorts) {
    this.#self = self;
    this.#ports = ports;
    this.#own = new Replica(Math.min(EPOCH_MAX - 1, Math.max(1, Math.floor(ports.clock.wallMs()))));
    this.#own.write(ports.journal.names(), []);
    for (const entry of this.#own.entries()) this.directory.add(String(self), entry);
    this.#gossip = ports.channel(this.#handler());
    this.#sweeping = every(ports.clock, SWEEP_MS, () => this.#sweep());
  }

  [Symbol.dispose](): void {
    this.#sweeping[Symbol.dispose]();
  }

  /** What is left of the last life has been looked through: the others hear of this one, which ends the last. */
  start(): void {
    this.#isTold = true;
    this.#tellAll();
  }

  /** Peers that can be reached now, ourselves left out or not. */
  setPeers(present: ReadonlySet<PeerName>): void {
    const now = this.#ports.clock.now();
    const before = this.#present;
    this.#present = present;
    this.#digest = undefined;
    for (const [origin, kept] of this.#others) {
      if (present.has(origin) === before.has(origin)) continue;
      kept.awaySince = present.has(origin) ? undefined : now;
      for (const entry of kept.replica.entries()) this.#show(origin, entry, present.has(origin));
    }
  }

  /** Adds and removes own names in one step; those that are so already are nothing. Returns how many changed.
   *  @throws {UserError} too many, or they cannot be written; then nothing has changed */
  change(added: readonly Entry[], removed: readonly Entry[] = []): number {
    const gone = removed.filter((entry) => this.#own.has(entry));
    const keys = new Set(gone.map(entryKey));
    const fresh = added.filter((entry) => !this.#own.has(entry) || keys.has(entryKey(entry)));
    if (fresh.length === 0 && gone.length === 0) return 0;
    if (fresh.length > gone.length && this.#own.size + fresh.length - gone.length > ENTRIES_MAX) {
      throw new UserError(
        "unavailable",
        `this host has ${this.#own.size} names already, and no more than ${ENTRIES_MAX} are possible`,
      );
    }
    this.#ports.journal.change(fresh, gone);
    const delta = this.#own.write(fresh, gone);
    for (const entry of gone) this.directory.remove(String(this.#self), entry);
    for (const entry of fresh) this.directory.add(String(this.#self), entry);
    this.#digest = undefined;
    if (this.#isTold) this.#tell(delta);
    return fresh.length + gone.length;
  }

  /** Removes all own names that fit; a part of the filter that is left out fits everything. Returns how many. */
  remove({ name, container, addresses }: EntryFilter): number {
    const wanted = name?.toLowerCase();
    const fits = (entry: Entry): boolean =>
      (wanted === undefined || entry.name.toLowerCase() === wanted) &&
      (container === undefined || entry.container === container) &&
      (addresses === undefined || addresses.includes(entry.address));
    return this.change([], this.#own.entries().filter(fits));
  }

  /** Removes own names of containers that are no more. */
  keep(isAlive: (entry: Entry) => boolean): number {
    const dead = this.#own.entries().filter((entry) => entry.container !== EXTERN_OWNER && !isAlive(entry));
    return this.change([], dead);
  }

  own(): readonly Entry[] {
    return this.#own.entries();
  }

  /** Names that can be looked up, at each address. */
  get size(): number {
    let size = this.#own.size;
    for (const [origin, { replica }] of this.#others) if (this.#present.has(origin)) size += replica.size;
    return size;
  }

  /** Of all peers that are here, tombstones with them. */
  list(): EntryView[] {
    const here = [...this.#others].filter(([origin]) => this.#present.has(origin));
    const replicas = [[this.#self, this.#own] as const, ...here.map(([origin, { replica }]) => [origin, replica] as const)];
    return replicas.flatMap(([origin, replica]) =>
      replica.changes().map(({ entry, version, removed }) => ({ ...entry, origin, version, removed })),
    );
  }

  #handler(): GossipHandler {
    return {
      merge: (_from, bytes) => this.#merge(bytes),
      received: () => {}, // nothing is sent to one peer alone
      digest: () => {
        this.#digest ??= encodeDigest(new Map(this.#told().map(([origin, replica]) => [origin, replica.standing])));
        return this.#digest;
      },
      missing: (digest) => this.#missing(digest),
    };
  }

  /** Whose names are told: of peers that are away everybody forgets at another time, so they are not compared. */
  #told(): (readonly [PeerName, Replica])[] {
    const others = [...this.#others]
      .filter(([origin]) => this.#present.has(origin))
      .map(([origin, { replica }]) => [origin, replica] as const);
    return this.#isTold ? [[this.#self, this.#own], ...others] : others;
  }

  #missing(bytes: Uint8Array): Uint8Array | undefined {
    const theirs = decodeDigest(bytes);
    const deltas: OriginDelta[] = [];
    let room = CHANGES_MAX;
    for (const [origin, replica] of this.#told()) {
      const delta = room > 0 ? replica.since(theirs.get(origin) ?? { epoch: 0, seen: 0, floor: 0 }, room) : undefined;
      if (!delta) continue;
      deltas.push({ origin, ...delta });
      room -= delta.changes.length;
    }
    return deltas.length > 0 ? encodeDeltas(deltas) : undefined;
  }

  #merge(bytes: Uint8Array): Uint8Array | undefined {
    const deltas = decodeDeltas(bytes);
    const news = deltas.filter((delta) => this.#mergeOne(delta));
    if (news.length === 0) return undefined;
    this.#digest = undefined;
    return news.length === deltas.length ? bytes : encodeDeltas(news);
  }

  /** True: it was new and is worth passing on. */
  #mergeOne(delta: OriginDelta): boolean {
    const { origin } = delta;
    if (origin === this.#self) {
      this.#heardOfSelf(delta);
      return false;
    }
    let kept = this.#others.get(origin);
    if (!kept) {
      if (this.#others.size >= REPLICAS_MAX) return false;
      kept = { replica: new Replica(), awaySince: this.#present.has(origin) ? undefined : this.#ports.clock.now() };
      this.#others.set(origin, kept);
    }
    if (this.#size + delta.changes.length > NAMES_MAX) return false;
    const { added, removed, isNews } = kept.replica.merge(delta);
    this.#size += added.length - removed.length;
    if (this.#present.has(origin)) {
      for (const entry of removed) this.#show(origin, entry, false);
      for (const entry of added) this.#show(origin, entry, true);
    }
    return isNews;
  }

  /** Somebody holds names of a life of ours that looks later than this one: the clock went back. This one rises above it. */
  #heardOfSelf({ epoch, to }: Delta): void {
    const own = this.#own.standing;
    if (epoch < own.epoch || (epoch === own.epoch && to <= own.seen) || epoch >= EPOCH_MAX) return;
    this.#own.rise(epoch + 1);
    this.#digest = undefined;
    if (this.#isTold) this.#tellAll();
  }

  /** Also when there is none: that is what ends the names of the last life. */
  #tellAll(): void {
    this.#digest = undefined;
    const { epoch, seen, floor } = this.#own.standing;
    this.#tell({ epoch, from: 0, to: seen, floor, changes: this.#own.changes().sort((a, b) => a.version - b.version) });
  }

  /** In parts that fit a message. */
  #tell({ epoch, from, to, floor, changes }: Delta): void {
    for (let at = 0, begins = from; at === 0 || at < changes.length; at += CHANGES_MAX) {
      const part = changes.slice(at, at + CHANGES_MAX);
      const ends = at + CHANGES_MAX < changes.length ? part.at(-1)!.version : to;
      this.#gossip.broadcast(encodeDeltas([{ origin: this.#self, epoch, from: begins, to: ends, floor, changes: part }]));
      begins = ends;
    }
  }

  #show(origin: PeerName, entry: Entry, isShown: boolean): void {
    if (isShown) this.directory.add(String(origin), entry);
    else this.directory.remove(String(origin), entry);
  }

  #sweep(): void {
    const before = this.#ports.clock.now() - AWAY_MS;
    for (const [origin, { awaySince, replica }] of this.#others) {
      if (awaySince === undefined || awaySince >= before) continue;
      this.#others.delete(origin);
      this.#size -= replica.size;
    }
  }
}
