// SPDX-License-Identifier: Apache-2.0
// What this host knows of the ring, what it has given out of its own space, and what is free. Every method is one synchronous step; what has to be
// on disk is collected until `takeChange`. The rule that keeps live addresses: when a merge takes an address from us that is in use here, we
// claim it again with a higher version, unless the other says that it is in use there too and its name is smaller.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Clock, Instant } from "../runtime/clock.ts";
import { FreeRuns } from "./free-runs.ts";
import type { Freed, IpamChange, Lease, StoredIpam } from "./lease.ts";
import { includes, type Range, sizeOf, toIp } from "./range.ts";
import { assign, assignAll, checkSegments, claimAt, coalesce, mergeSegments, type Segments, within } from "./ring.ts";

export interface SpaceOptions {
  readonly self: PeerName;
  readonly range: Range;
  readonly quarantineMs: number;
  /** Whether who had it may come back for it, such as a stopped container: then it stays in quarantine, and others get it only if nothing else is
   *  free, or by name. */
  readonly mayReturn: (lease: Lease) => boolean;
}

interface Resting {
  readonly lease: Lease;
  readonly until: Instant;
}

export class Space {
  readonly #options: SpaceOptions;
  readonly #clock: Clock;
  #segments: Segments = [];
  readonly #leases = new Map<number, Lease>();
  readonly #byOwner = new Map<string, Set<number>>();
  /** In quarantine, the first to end first. */
  readonly #resting = new Map<number, Resting>();
  /** The addresses each owner released last. */
  readonly #former = new Map<string, Set<number>>();
  #free: FreeRuns | undefined;
  /** In use here, and as its claim says elsewhere too. */
  readonly #conflicts = new Map<number, PeerName>();
  readonly #put = new Map<number, Lease>();
  readonly #freed = new Map<number, Freed>();
  readonly #dropped = new Set<number>();

  constructor(options: SpaceOptions, clock: Clock, stored: Pick<StoredIpam, "leases" | "freed">) {
    this.#options = options;
    this.#clock = clock;
    for (const lease of stored.leases) this.#insert(lease);
    for (const { lease, freedMs } of stored.freed) {
      const restMs = freedMs + options.quarantineMs - clock.wallMs(); // a wall clock may have jumped
      this.#rest(lease, clock.now() + Math.min(options.quarantineMs, Math.max(0, restMs)));
    }
  }

  get segments(): Segments {
    return this.#segments;
  }
  get conflicts(): ReadonlyMap<number, PeerName> {
    return this.#conflicts;
  }
  leases(): Iterable<Lease> {
    return this.#leases.values();
  }
  leaseAt(address: number): Lease | undefined {
    return this.#leases.get(address);
  }
  leasesOf(owner: string): Lease[] {
    return Array.from(this.#byOwner.get(owner) ?? [], (address) => this.#leases.get(address)!).sort(
      (a, b) => a.address - b.address,
    );
  }
  owns(address: number): boolean {
    return claimAt(this.#segments, address)?.owner === this.#options.self;
  }

  /** Merges claims. `fresh`: what was new. `defended`: what we had to claim again, to be told to everybody. */
  merge(delta: Segments): { readonly fresh: Segments; readonly defended: Segments } {
    const { segments, fresh } = mergeSegments(this.#segments, delta);
    if (fresh.length === 0) return { fresh, defended: [] };
    this.#segments = segments;
    this.#free = undefined;
    const defended = this.#defend(fresh);
    return { fresh, defended };
  }

  #defend(fresh: Segments): Segments {
    const { self, range } = this.#options;
    let defended: Segments = [];
    for (const { address } of this.#leases.values()) {
      if (!includes(range, address)) continue;
      const claim = claimAt(fresh, address);
      if (!claim) continue;
      if (claim.owner === self) this.#conflicts.delete(address);
      else if (claim.live && claim.owner < self) this.#conflicts.set(address, claim.owner);
      else {
        this.#conflicts.delete(address);
        const own = { start: address, end: address + 1, owner: self, version: claim.version + 1, live: true };
        defended = mergeSegments(defended, [own]).segments;
      }
    }
    if (defended.length > 0) this.#segments = mergeSegments(this.#segments, defended).segments;
    return defended;
  }

  /** Address that `owner` has in `range` and may keep. */
  held(owner: string, range: Range): Lease | undefined {
    return this.leasesOf(owner).find((lease) => includes(range, lease.address) && !this.#conflicts.has(lease.address));
  }

  /** The address this owner had before, if it is still in quarantine; else the lowest free one of ours in `range`; with `evenResting` one in
   *  quarantine if there is no other. undefined: there is none. */
  allocate(lease: Omit<Lease, "address">, range: Range, evenResting: boolean): Lease | undefined {
    this.#endQuarantines();
    const address =
      this.#formerly(lease.owner, range) ?? this.#freeRuns().lowest(range) ?? (evenResting ? this.#rested(range) : undefined);
    if (address === undefined) return undefined;
    return this.#give({ ...lease, address, owner: lease.owner === "_" ? toIp(address) : lease.owner });
  }

  /** One in quarantine, the one that ends first. */
  #rested(range: Range): number | undefined {
    for (const address of this.#resting.keys()) if (includes(range, address) && this.owns(address)) return address;
    return undefined;
  }

  #formerly(owner: string, range: Range): number | undefined {
    for (const address of this.#former.get(owner) ?? []) if (includes(range, address) && this.owns(address)) return address;
    return undefined;
  }

  /** Gives out just this address: it must be ours or outside the range, and nobody else's. An owner's second claim widens its lease. */
  claim(lease: Lease): void {
    const before = this.#leases.get(lease.address);
    const family = before && before.family !== lease.family ? "both" : lease.family;
    this.#give({ ...lease, family, via: before?.via === "attach" ? "attach" : lease.via });
  }

  /** Records what is in use already, whoever owns the space; returns the claims by which we defend it. */
  adopt(lease: Lease): Segments {
    this.claim(lease);
    const claim = claimAt(this.#segments, lease.address);
    return claim && claim.owner !== this.#options.self ? this.#defend([claim]) : [];
  }

  /** What of `family` is released. Returns claims to be told to everybody: an address we defended is an ordinary one again. */
  release(
    owner: string,
    address: number,
    family: Lease["family"] = "both",
  ): { readonly released: boolean; readonly delta: Segments } {
    const lease = this.#leases.get(address);
    if (lease?.owner !== owner) return { released: false, delta: [] };
    if (family !== "both" && lease.family !== family) {
      if (lease.family === "both") this.#give({ ...lease, family: family === "v4" ? "v6" : "v4" });
      return { released: true, delta: [] };
    }
    this.#leases.delete(address);
    this.#unindex(lease);
    this.#conflicts.delete(address);
    this.#put.delete(address);
    const { range, quarantineMs, self } = this.#options;
    if (!includes(range, address)) {
      this.#dropped.add(address);
      return { released: true, delta: [] };
    }
    this.#rest(lease, this.#clock.now() + quarantineMs);
    this.#freed.set(address, { lease, freedMs: this.#clock.wallMs() });
    const claim = claimAt(this.#segments, address);
    if (claim?.owner !== self || !claim.live) return { released: true, delta: [] };
    const delta = assign(this.#segments, { start: address, end: address + 1 }, self);
    this.merge(delta);
    return { released: true, delta };
  }

  /** Gives space inside `range` away: the upper half of our longest free run there, all of it when it is one address. undefined: nothing is
   *  free, or with `evenResting` in quarantine. */
  donate(range: Range, to: PeerName, evenResting: boolean): Segments | undefined {
    this.#endQuarantines();
    const run = this.#freeRuns().largest(range);
    const rested = run || !evenResting ? undefined : this.#rested(range);
    if (rested !== undefined) this.#forget(rested);
    const given = run
      ? { start: run.start + Math.floor(sizeOf(run) / 2), end: run.end }
      : rested !== undefined && { start: rested, end: rested + 1 };
    if (!given) return undefined;
    const delta = assign(this.#segments, given, to);
    this.merge(delta);
    return delta;
  }

  /** Everything of `from` becomes `to`'s. */
  transfer(from: PeerName, to: PeerName): { readonly delta: Segments; readonly size: number } {
    const moved = assignAll(this.#segments, from, to);
    const { defended } = this.merge(moved.delta);
    return { ...moved, delta: mergeSegments(moved.delta, defended).segments };
  }

  /** Nothing is in use here any more: this host leaves. */
  dropLeases(): void {
    for (const address of [...this.#leases.keys(), ...this.#resting.keys()]) this.#dropped.add(address);
    for (const all of [this.#leases, this.#byOwner, this.#resting, this.#former, this.#conflicts, this.#put, this.#freed])
      all.clear();
    this.#free = undefined;
  }

  /** Ranges of ours that touch become one. Single addresses that we got out of the middle of somebody's space, and do not need any more, go back
   *  to him if he `isThere`; so claims of single addresses leave no holes for ever. */
  tidy(isThere: (peer: PeerName) => boolean): Segments {
    this.#endQuarantines();
    const joined = coalesce(this.#segments, this.#options.self);
    if (joined.length > 0) this.merge(joined);
    const returned = this.#strays(isThere);
    if (returned.length > 0) this.merge(returned);
    return mergeSegments(joined, returned).segments;
  }

  #strays(isThere: (peer: PeerName) => boolean): Segments {
    const free = this.#freeRuns();
    return this.#segments.flatMap((segment, index) => {
      const [before, after] = [this.#segments[index - 1], this.#segments[index + 1]];
      const { self } = this.#options;
      if (segment.owner !== self || sizeOf(segment) !== 1 || !free.has(segment.start)) return [];
      if (!before || before.owner !== after?.owner || before.owner === self || !isThere(before.owner)) return [];
      return assign(this.#segments, { start: segment.start, end: segment.end }, before.owner);
    });
  }

  /** What has to be on disk since the last call; undefined: nothing. */
  takeChange(): Omit<IpamChange, "memory"> | undefined {
    if (this.#put.size + this.#freed.size + this.#dropped.size === 0) return undefined;
    const change = { put: [...this.#put.values()], freed: [...this.#freed.values()], drop: [...this.#dropped] };
    this.#put.clear();
    this.#freed.clear();
    this.#dropped.clear();
    return change;
  }

  /** What `takeChange` gave could not be written and is due again. Newer changes win. */
  giveBack(change: Omit<IpamChange, "memory">): void {
    const isNewer = (address: number): boolean =>
      this.#put.has(address) || this.#freed.has(address) || this.#dropped.has(address);
    for (const lease of change.put) if (!isNewer(lease.address)) this.#put.set(lease.address, lease);
    for (const freed of change.freed) if (!isNewer(freed.lease.address)) this.#freed.set(freed.lease.address, freed);
    for (const address of change.drop) if (!isNewer(address)) this.#dropped.add(address);
  }

  /** Everything wrong with this state, in words; undefined: nothing. For tests and after merges. */
  check(): string | undefined {
    const { range, self } = this.#options;
    const wrong = checkSegments(this.#segments, range, this.#segments.length > 0);
    if (wrong !== undefined) return wrong;
    const free = this.#freeRuns();
    for (const run of free.runs()) {
      if (within(this.#segments, run).some((segment) => segment.owner !== self)) return `${run.start} is free and not ours`;
    }
    for (const address of this.#leases.keys()) {
      if (free.has(address)) return `${address} is free and leased`;
      const claim = claimAt(this.#segments, address);
      if (claim && claim.owner !== self && !this.#conflicts.has(address))
        return `${address} is leased, not ours and not reported`;
    }
    return undefined;
  }

  #give(lease: Lease): Lease {
    const { address } = lease;
    const before = this.#leases.get(address);
    if (before) this.#unindex(before);
    this.#insert(lease);
    this.#free?.take(address);
    this.#unrest(address);
    this.#freed.delete(address);
    this.#dropped.delete(address);
    this.#put.set(address, lease);
    return lease;
  }

  #insert(lease: Lease): void {
    this.#leases.set(lease.address, lease);
    const held = this.#byOwner.get(lease.owner);
    if (held) held.add(lease.address);
    else this.#byOwner.set(lease.owner, new Set([lease.address]));
  }

  #unindex(lease: Lease): void {
    const held = this.#byOwner.get(lease.owner);
    held?.delete(lease.address);
    if (held?.size === 0) this.#byOwner.delete(lease.owner);
  }

  #endQuarantines(): void {
    const now = this.#clock.now();
    for (const [address, { lease, until }] of this.#resting) {
      if (until > now) break;
      if (this.#options.mayReturn(lease)) continue;
      this.#forget(address);
      if (this.#free && this.owns(address)) this.#free.put(address);
    }
  }

  #rest(lease: Lease, until: Instant): void {
    this.#unrest(lease.address); // to the end of the queue
    this.#resting.set(lease.address, { lease, until });
    const former = this.#former.get(lease.owner);
    if (former) former.add(lease.address);
    else this.#former.set(lease.owner, new Set([lease.address]));
  }

  #unrest(address: number): void {
    const resting = this.#resting.get(address);
    if (!resting) return;
    this.#resting.delete(address);
    const former = this.#former.get(resting.lease.owner);
    former?.delete(address);
    if (former?.size === 0) this.#former.delete(resting.lease.owner);
  }

  #forget(address: number): void {
    this.#unrest(address);
    this.#freed.delete(address);
    this.#dropped.add(address);
  }

  #freeRuns(): FreeRuns {
    if (this.#free) return this.#free;
    const owned = this.#segments.filter((segment) => segment.owner === this.#options.self);
    this.#free = new FreeRuns(owned, [...this.#leases.keys(), ...this.#resting.keys()]);
    return this.#free;
  }
}
