// SPDX-License-Identifier: Apache-2.0
// Gives out addresses that are unique in the network: from its own space without asking, else after asking those who have some. Joins the ring
// (space.ts, ring-keeper.ts), its beginning (founding.ts), the search for space (seeker.ts) and the disk (committer.ts); what peers say
// comes in as a gossip channel. Nothing is told or given out that is not on disk.
import { formatPeer, formatPeerName, type PeerName } from "../mesh/peer-name.ts";
import type { Gossip, GossipHandler } from "../mesh/ports.ts";
import { type Cidr, formatCidr } from "../net/cidr.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText, type UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { Absence } from "./absence.ts";
import { Committer } from "./committer.ts";
import type { Votes } from "./consensus.ts";
import { Exchange } from "./exchange.ts";
import { Founding, type InitMode } from "./founding.ts";
import { HandOver } from "./hand-over.ts";
import type { IpamJournal, Lease } from "./lease.ts";
import { encodeMemory, recall } from "./memory.ts";
import type { IpamMessage } from "./messages.ts";
import { includes, intersect, type Range, rangeOf, sameRange, toIp, usableRange } from "./range.ts";
import { heldBy, leaving, ownerAway, spaceFull, tooLate } from "./refusals.ts";
import { claimAt, foundRing, type Segments, sharesOf, within } from "./ring.ts";
import { RingKeeper } from "./ring-keeper.ts";
import { Seeker } from "./seeker.ts";
import { Space, type SpaceOptions } from "./space.ts";
import { twinPrefix } from "./twins.ts";
import { type IpamView, viewOf } from "./view.ts";
import { WaitingList, type Wish } from "./waiting.ts";

const TICK_MS = 6_000;
/** The owner of an address that was asked for by name may be away for a moment. */
const CLAIM_PATIENCE_MS = 5_000;

/** As an owner: the address is filed under its own text, and each request gets another one. */
export const NOBODY = "_";

export interface AllocatorOptions {
  readonly self: PeerName;
  readonly nickname: string;
  readonly range: Cidr;
  /** Where IPv6 twins are; compared with the other peers' only. */
  readonly range6?: Cidr | undefined;
  readonly init: InitMode;
  readonly quarantineMs: number;
  /** A request that cannot be answered is refused after that. */
  readonly deadlineMs: number;
  /** Space of peers that were away so long is taken over; 0: never. */
  readonly reclaimAfterMs: number;
}

export interface AllocatorPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: IpamJournal;
  channel(handler: GossipHandler): Gossip;
  /** Others that can be reached now, with their nicknames. */
  peers(): ReadonlyMap<PeerName, string>;
  /** How many electors to expect when that was not configured. */
  electors(): number;
  readonly mayReturn: SpaceOptions["mayReturn"];
  /** What people call the holder of an address. */
  describe(owner: string): string;
}

export class Allocator implements Disposable {
  readonly #options: AllocatorOptions;
  readonly #ports: AllocatorPorts;
  readonly #range: Range;
  readonly #keeper: RingKeeper;
  readonly #space: Space;
  readonly #founding: Founding;
  readonly #seeker: Seeker;
  readonly #committer: Committer;
  readonly #waiting: WaitingList;
  readonly #exchange: Exchange;
  readonly #tick: Disposable;
  readonly #handOver: HandOver;
  readonly #absence: Absence;
  #memoryChanged = false;
  /** Space is given to others only while it is open: before, what is in use here may not be known yet. */
  #phase: "starting" | "open" | "leaving" = "starting";

  constructor(options: AllocatorOptions, ports: AllocatorPorts) {
    const { clock, random, log } = ports;
    this.#options = options;
    this.#ports = ports;
    this.#range = rangeOf(options.range);
    const stored = ports.journal.load();
    const memory = recall(stored.memory, options.self, this.#range, log);
    this.#keeper = new RingKeeper(this.#range, options.range6 && twinPrefix(options.range6), clock);
    this.#space = new Space({ ...options, range: this.#range, mayReturn: ports.mayReturn }, clock, stored);
    this.#waiting = new WaitingList(clock);
    this.#handOver = new HandOver(clock);
    this.#absence = new Absence({ self: options.self, limitMs: options.reclaimAfterMs, clock, peers: () => ports.peers() });
    this.#committer = new Committer({ clock, log, write: () => this.#write() });
    this.#founding = new Founding(
      options.self,
      options.init,
      {
        clock,
        random,
        electors: () => ports.electors(),
        peers: () => ports.peers(),
        tell: (votes) => this.#tellVotes(votes),
        found: (founders, isOurs) => this.#found(founders, isOurs),
      },
      memory?.vote,
    );
    this.#seeker = new Seeker({
      clock,
      random,
      self: options.self,
      segments: () => this.#space.segments,
      ask: (peer, token, range, urgent, exact) =>
        this.#exchange.send(peer, { type: "ask", token, header: this.#keeper.header, range, urgent, exact }),
      exhausted: (range, silent) => this.#exhausted(range, silent),
      urgent: (range) => this.#retry(range),
    });
    this.#exchange = new Exchange(
      {
        self: options.self,
        log,
        keeper: this.#keeper,
        space: this.#space,
        founding: this.#founding,
        committer: this.#committer,
        isOpen: () => this.#phase === "open",
        take: (delta) => this.#mergeSegments(delta),
        adopt: (founders, segments, names) => this.#adopt(founders, segments, names),
        remember: () => this.#remember(),
        tell: (segments) => this.#tell(segments),
        answered: (from, message) => this.#answered(from, message),
        taken: (from, token) => this.#handOver.taken(from, token),
        called: (peer) => this.#called(peer),
        describe: (owner) => ports.describe(owner),
        peers: () => ports.peers(),
      },
      (handler) => ports.channel(handler),
    );
    if (memory && memory.segments.length > 0) this.#adopt(memory.founders, memory.segments, memory.names);
    else this.#founding.start();
    this.#tick = every(clock, TICK_MS, () => this.#look());
  }

  [Symbol.dispose](): void {
    this.#tick[Symbol.dispose]();
    this.#seeker[Symbol.dispose]();
    this.#founding[Symbol.dispose]();
    this.#committer.flush();
    this.#committer[Symbol.dispose]();
  }

  /** All that is in use here has its lease now. */
  open(): void {
    this.#phase = "open";
  }

  /** An address in `subnet`: the one `owner` has there already, or had a moment ago, or any.
   *  @throws {UserError} conflict: none is free; unavailable: not within the deadline, or whoever asked has gone */
  async allocate(owner: string, subnet: Cidr, via: Lease["via"], family: Lease["family"], signal?: AbortSignal): Promise<Lease> {
    const range = intersect(usableRange(subnet), this.#range);
    let given: Lease | undefined;
    let isNew = false;
    await this.#wait(
      {
        kind: "allocate",
        what: `${owner} ${formatCidr(subnet)}`,
        range,
        attempt: () => {
          if (!this.#keeper.hasRing) return this.#needRing();
          given = owner === NOBODY ? undefined : this.#space.held(owner, range);
          if (given) return true;
          const lease = { owner, prefixLength: subnet.prefixLength, via, family };
          given = this.#space.allocate(lease, range, this.#seeker.isUrgent(range));
          isNew = given !== undefined;
          if (!isNew) this.#seeker.seek(range, false);
          return given !== undefined;
        },
        late: () => this.#tooLate(`no address in ${formatCidr(subnet)} for '${owner}'`, range),
      },
      signal,
    );
    return this.#durable(given!, isNew); // the wish is done only with an address
  }

  /** Just this address; inside the range its space comes from whoever has it. Outside nobody is asked.
   *  @throws {UserError} conflict: somebody has it, with his name; unavailable */
  async claim(wanted: Lease, signal?: AbortSignal): Promise<Lease> {
    const { address } = wanted;
    const lease = wanted.owner === NOBODY ? { ...wanted, owner: toIp(address) } : wanted;
    const range = { start: address, end: address + 1 };
    const startedAt = this.#ports.clock.now();
    const before = this.#space.leaseAt(address);
    await this.#wait(
      {
        kind: "claim",
        what: `${lease.owner} ${toIp(address)}/${lease.prefixLength}`,
        range,
        attempt: () => {
          const holder = this.#space.leaseAt(address);
          if (holder && holder.owner !== lease.owner) throw heldBy(address, this.#ports.describe(holder.owner), "on this host");
          if (holder || !includes(this.#range, address)) {
            this.#space.claim(lease);
            return true;
          }
          if (!this.#keeper.hasRing) return this.#needRing();
          const claim = claimAt(this.#space.segments, address);
          if (claim?.owner === this.#options.self) {
            this.#space.claim(lease);
            return true;
          }
          const isPatient = this.#ports.clock.now() - startedAt < CLAIM_PATIENCE_MS;
          if (!isPatient && claim && !this.#ports.peers().has(claim.owner)) throw ownerAway(address, this.#called(claim.owner));
          this.#seeker.seek(range, true);
          return false;
        },
        late: () => this.#tooLate(`${toIp(address)} is not to be had for '${lease.owner}'`, range),
      },
      signal,
    );
    return this.#durable(this.#space.leaseAt(address) ?? lease, before === undefined);
  }

  /** Adds to the records what is in use already, without asking: an address is defended wherever its space is. */
  adopt(lease: Lease): void {
    const holder = this.#space.leaseAt(lease.address);
    if (holder && holder.owner !== lease.owner) return;
    this.#tell(this.#space.adopt(lease));
    this.#committer.lazily();
  }

  /** False: `owner` does not have it. Resolves when that is on disk. */
  async release(owner: string, address: number, family: Lease["family"] = "both"): Promise<boolean> {
    const { released, delta } = this.#space.release(owner, address, family);
    if (!released) return false;
    this.#tell(delta);
    this.#waiting.retry((wish) => wish.range !== undefined && includes(wish.range, address));
    await this.#committer.committed();
    return true;
  }

  /** Waits for the ring. */
  async ready(signal?: AbortSignal): Promise<void> {
    if (this.#keeper.hasRing) return;
    await this.#wait(
      {
        kind: "ring",
        what: "prime",
        range: undefined,
        attempt: () => this.#keeper.hasRing || this.#needRing(),
        late: () => this.#tooLate("automatic addresses are not ready", this.#range),
      },
      signal,
    );
  }

  leases(): Lease[] {
    return [...this.#space.leases()].sort((a, b) => a.address - b.address);
  }
  readonly leasesOf = (owner: string): Lease[] => this.#space.leasesOf(owner);
  readonly leaseAt = (address: number): Lease | undefined => this.#space.leaseAt(address);

  view(): IpamView {
    return viewOf({
      self: this.#options.self,
      range: this.#options.range,
      keeper: this.#keeper,
      space: this.#space,
      founding: this.#founding,
      seeker: this.#seeker,
      undecided: this.#absence.undecided(),
      wishes: this.#waiting.wishes(),
      peers: this.#peers(),
    });
  }
  /** Everything wrong with the state, in words; undefined: nothing. */
  readonly check = (): string | undefined => this.#space.check();

  /** Owners of space by name or nickname, also those that are gone. */
  ownersCalled(word: string): PeerName[] {
    const owners = [...sharesOf(this.#space.segments).keys()].filter((owner) => owner !== this.#options.self);
    const { names } = this.#keeper;
    const peers = this.#ports.peers();
    return owners.filter((owner) => formatPeerName(owner) === word || (peers.get(owner) ?? names.get(owner)) === word);
  }

  /** Takes over all space of `peer`; returns how many addresses that is. */
  async takeOver(peer: PeerName): Promise<number> {
    if (peer === this.#options.self) return 0;
    const { delta, size } = this.#space.transfer(peer, this.#options.self);
    if (size === 0) return 0;
    this.#ports.log.info("space of a peer taken over", { peer: this.#called(peer), addresses: size });
    this.#tell(delta);
    this.#retry();
    await this.#committer.committed();
    return size;
  }

  /** Hands all space to a reachable peer and waits until it has it. False: nobody took it. From now on nothing is given out. */
  async leave(): Promise<boolean> {
    this.#phase = "leaving";
    this.#waiting.end(() => true, leaving);
    this.#space.dropLeases();
    const shares = sharesOf(this.#space.segments);
    if (!shares.has(this.#options.self)) return true;
    const heirs = [...this.#ports.peers().keys()].sort((a, b) => (shares.get(b) ?? 0) - (shares.get(a) ?? 0) || a - b);
    if (heirs.length === 0) return shares.size === 1; // a lone host owes nobody anything
    let { segments } = this.#space;
    segments = segments.filter((segment) => segment.owner === this.#options.self);
    for (const heir of heirs) {
      segments = segments.map((segment) => ({ ...segment, owner: heir, version: segment.version + 1, live: false }));
      this.#space.merge(segments);
      this.#memoryChanged = true;
      if (!this.#committer.flush()) return false;
      this.#exchange.broadcast(segments);
      const tell = (token: number): boolean =>
        this.#exchange.send(heir, { type: "hand", token, header: this.#keeper.header, segments });
      if (await this.#handOver.offer(heir, tell)) {
        this.#ports.log.info("space handed over", { peer: this.#called(heir) });
        return true;
      }
    }
    return false;
  }

  #mergeSegments(delta: Segments): Segments {
    const { fresh, defended } = this.#space.merge(delta);
    if (fresh.length === 0) return fresh;
    this.#remember();
    if (defended.length > 0) {
      this.#ports.log.warn("addresses in use here were given to others; claimed again", {
        address: defended.map((one) => toIp(one.start)).join(" "),
      });
      this.#tell(defended);
    }
    const wrong = this.#space.check();
    if (wrong !== undefined) this.#ports.log.error("the ring is not as it should be", { reason: wrong });
    this.#waiting.retry((wish) => wish.range !== undefined && within(fresh, wish.range).length > 0);
    return fresh;
  }

  #answered(from: PeerName, message: IpamMessage & { type: "given" | "denied" }): void {
    const range = this.#seeker.answered(from, message.token);
    if (range && message.type === "given") this.#seeker.end(range); // those who want more begin another search
    const fresh = this.#mergeSegments(message.segments);
    if (!range) return;
    if (message.type === "given") {
      if (fresh.length === 0) this.#retry(range); // the news came before the answer
      return;
    }
    if (message.why === "held") {
      const where = `on peer ${this.#called(from)}`;
      this.#seeker.end(range);
      this.#waiting.end(
        (wish) => wish.kind === "claim" && sameRange(wish.range, range),
        () => heldBy(range.start, message.words, where),
      );
      return;
    }
    if (message.why === "full" || fresh.length === 0) this.#seeker.refused(from, range);
    else {
      this.#seeker.end(range);
      this.#retry(range);
    }
  }

  /** Nobody gives anything in `range` now. */
  #exhausted(range: Range, silent: readonly PeerName[]): void {
    this.#retry(range); // addresses of ours in quarantine will do
    const isWanted = this.#waiting.wishes().some((wish) => sameRange(wish.range, range));
    if (silent.length > 0 && isWanted) return;
    this.#seeker.end(range);
    this.#waiting.end(
      (wish) => sameRange(wish.range, range),
      () => spaceFull(range),
    );
  }

  #needRing(): false {
    this.#founding.want();
    return false;
  }

  async #wait(wish: Wish, signal: AbortSignal | undefined): Promise<void> {
    if (this.#phase === "leaving") throw leaving();
    if (wish.attempt()) return;
    const done = this.#waiting.add(wish, this.#options.deadlineMs, signal);
    // What was settled while the attempt was made (a lone host has its ring at once) is not announced again.
    this.#waiting.retry((one) => one === wish);
    try {
      await done;
    } finally {
      if (wish.range && !this.#waiting.wishes().some((other) => sameRange(other.range, wish.range))) this.#seeker.end(wish.range);
    }
  }

  async #durable(lease: Lease, isNew: boolean): Promise<Lease> {
    try {
      await this.#committer.committed();
      return lease;
    } catch (thrown) {
      if (isNew) this.#tell(this.#space.release(lease.owner, lease.address).delta);
      throw thrown;
    }
  }

  #retry(range?: Range): void {
    this.#waiting.retry((wish) => range === undefined || sameRange(wish.range, range));
  }

  #found(founders: readonly PeerName[], isOurs: boolean): void {
    this.#adopt(founders, foundRing(this.#range, founders), new Map());
    this.#ports.log.info("addresses are shared out", { peers: founders.map((peer) => this.#called(peer)).join(" ") });
    if (isOurs) this.#committer.afterCommit(() => this.#exchange.broadcastRing());
  }

  /** The ring is known from now on. */
  #adopt(founders: readonly PeerName[], segments: Segments, names: ReadonlyMap<PeerName, string>): void {
    this.#founding.over();
    this.#keeper.begin(founders);
    this.#keeper.learnNames(names);
    const { defended } = this.#space.merge(segments);
    this.#remember();
    this.#tell(defended);
    this.#learnNames();
    this.#retry();
  }

  /** Once in a while: who is away, who is dead, what can be joined. */
  #look(): void {
    if (!this.#keeper.hasRing) return;
    this.#learnNames();
    if (this.#phase === "open") this.#tell(this.#space.tidy((peer) => this.#ports.peers().has(peer)));
    this.#waiting.retry((wish) => wish.kind === "claim");
    if (this.#phase !== "open") return;
    for (const owner of this.#absence.look([...sharesOf(this.#space.segments).keys()])) {
      void this.takeOver(owner).catch((thrown: unknown) =>
        this.#ports.log.warn("taking over failed, it is tried again", { reason: errorText(thrown) }),
      );
    }
  }

  #learnNames(): void {
    const owners = new Set(sharesOf(this.#space.segments).keys());
    const names = new Map([...this.#peers()].filter(([peer]) => owners.has(peer)));
    this.#keeper.keepNames(owners);
    if (this.#keeper.learnNames(names)) this.#remember();
  }

  /** All that can be reached, ourselves included. */
  #peers(): ReadonlyMap<PeerName, string> {
    return new Map(this.#ports.peers()).set(this.#options.self, this.#options.nickname);
  }

  #called(peer: PeerName): string {
    return formatPeer(peer, this.#peers().get(peer) ?? this.#keeper.names.get(peer) ?? "");
  }

  #tooLate(what: string, range: Range): UserError {
    const { quorum, known } = this.#founding;
    const silent = this.#seeker.waitingFor(range).map((peer) => this.#called(peer));
    return tooLate(what, this.#options.deadlineMs, this.#keeper.hasRing ? undefined : { quorum, known }, silent);
  }

  #tellVotes(votes: Votes): void {
    this.#memoryChanged = true;
    this.#committer.afterCommit(() => this.#exchange.broadcastVotes(votes));
  }
  /** Claims of ours, to everybody, once they are on disk. */
  #tell(segments: Segments): void {
    if (segments.length === 0) return;
    this.#memoryChanged = true;
    this.#committer.afterCommit(() => this.#exchange.broadcast(segments));
  }
  #remember(): void {
    this.#memoryChanged = true;
    this.#committer.lazily();
  }

  #write(): void {
    const change = this.#space.takeChange();
    if (!change && !this.#memoryChanged) return;
    const { put = [], freed = [], drop = [] } = change ?? {};
    try {
      this.#ports.journal.commit({ memory: this.#memoryChanged ? this.#memory() : undefined, put, freed, drop });
      this.#memoryChanged = false;
    } catch (thrown) {
      if (change) this.#space.giveBack(change);
      throw thrown;
    }
  }

  #memory(): Uint8Array {
    const { header, founders, names } = this.#keeper;
    const { segments } = this.#space;
    return encodeMemory({ self: this.#options.self, header, founders, segments, names, vote: this.#founding.ownVote });
  }
}
