// SPDX-License-Identifier: Apache-2.0
// Keeps us connected: to the targets people named, to the peers the topology names, and for a while to those it named before, so that
// two halves of a divided mesh find each other again.

import { parseHostPort, parseIpPort } from "../net/endpoint.ts";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { type Random, shuffled } from "../runtime/random.ts";
import { dialAddress, ipOf, withPort } from "./address.ts";
import { limitReason } from "./admission.ts";
import { type Attempt, Dialer, means } from "./dialer.ts";
import { addressesOf, choosePeers, dialsFirst, SECOND_DIALLER_MS, wantedDegree } from "./discovery.ts";
import { FormerPeers } from "./former-peers.ts";
import type { Referral } from "./message.ts";
import type { Acquaintance } from "./neighbour.ts";
import type { Neighbours, Outcome } from "./neighbours.ts";
import { formatPeerName, type PeerName } from "./peer-name.ts";
import type { HelloSource, Link, Transport } from "./ports.ts";
import type { Topology } from "./topology.ts";

/** How many others a full peer names. */
const REFERRALS = 8;
/** Of those we were cut off from. */
const TRIED_AT_ONCE = 4;

export interface ConnectorPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly transport: Transport;
  readonly hello: HelloSource;
  readonly neighbours: Neighbours;
  readonly topology: Topology;
  readonly self: PeerName;
  /** Our own TCP port: also the one of targets without. */
  readonly port: number;
  readonly discovery: boolean;
  /** 0: none. */
  readonly limit: number;
  /** Set when that peer, or somebody unknown, may not become a neighbour. */
  limitFor(peer: PeerName | undefined): number | undefined;
  isRevoked(key: string): boolean;
  admit(link: Link, report: (outcome: Outcome) => void): void;
}

export class Connector {
  readonly #ports: ConnectorPorts;
  readonly #dialer: Dialer;
  readonly #targets = new Set<string>();
  readonly #former: FormerPeers;
  #isStopped = false;

  constructor(ports: ConnectorPorts) {
    this.#ports = ports;
    this.#former = new FormerPeers(ports.clock);
    const { clock, random, transport, hello } = ports;
    this.#dialer = new Dialer({
      clock,
      random,
      dial: (address, done) => {
        ports.log.debug("dialling", { address });
        return transport.dial(address, hello, done);
      },
      admit: ports.admit,
      addresses: (attempt) => this.#addresses(attempt),
      isSatisfied: (attempt) => this.#isSatisfied(attempt),
      limitReached: (attempt) => (ports.limitFor(attempt.peer) === undefined ? undefined : limitReason(ports.limit)),
      missed: (attempt, isNews) => this.#tell(attempt, isNews),
    });
  }

  /** People wait for their targets; that another peer cannot be reached yet is nothing unusual. */
  #tell({ key, kind, peer, state, reason, lastAddress }: Attempt, isNews: boolean): void {
    const { log } = this.#ports;
    const who = kind === "target" ? { target: key } : { peer: peer && formatPeerName(peer), address: lastAddress };
    const fields = { ...who, reason, retry: state.is === "given-up" ? "never" : undefined };
    if (kind === "target" && isNews) log.warn("cannot connect", fields);
    else log.debug("cannot connect", fields);
  }

  attempts(): Iterable<Attempt> {
    return this.#dialer.attempts();
  }
  /** As their owner wrote them, sorted. */
  targets(): string[] {
    return [...this.#targets].sort();
  }

  /** One of the targets turned out to be that peer. */
  isTarget(peer: PeerName): boolean {
    for (const attempt of this.#dialer.attempts()) if (attempt.kind === "target" && attempt.peer === peer) return true;
    return false;
  }

  /** @throws {UserError} one of them is not `host[:port]`; then none is taken */
  connect(targets: readonly string[], replace: boolean): void {
    for (const target of targets) {
      if (parseHostPort(target)) continue;
      throw new UserError("bad-request", `'${target}' is not a host`, "write host, host:port, address or [ipv6]:port");
    }
    if (replace) this.forget([...this.#targets].filter((target) => !targets.includes(target)));
    for (const target of targets) {
      this.#targets.add(target);
      this.#dialer.want(target, "target", undefined);
    }
    this.#dialer.wake((attempt) => attempt.kind === "target" && targets.includes(attempt.key));
  }

  forget(targets: readonly string[]): void {
    for (const target of targets) if (this.#targets.delete(target)) this.#dialer.drop(target);
  }

  #addresses(attempt: Attempt): readonly string[] {
    const { topology, port } = this.#ports;
    if (attempt.kind === "target") {
      const address = dialAddress(attempt.key, port);
      return address === undefined ? [] : [address];
    }
    if (attempt.peer === undefined) return [];
    const known = addressesOf(attempt.peer, topology.get(attempt.peer)?.port, topology.records());
    const session = this.#ports.neighbours.get(attempt.peer);
    const remembered = session ? listening(session.facts) : this.#former.addressOf(attempt.peer);
    return remembered === undefined || known.includes(remembered) ? known : [remembered, ...known];
  }

  #isSatisfied(attempt: Attempt): boolean {
    const { neighbours } = this.#ports;
    if (attempt.peer !== undefined) return neighbours.get(attempt.peer)?.link !== undefined;
    for (const { link, facts } of neighbours.all()) if (link && means(attempt, facts)) return true;
    return false;
  }

  /** A control connection came. */
  opened(peer: PeerName): void {
    this.#former.delete(peer);
    this.#dialer.refresh();
  }

  /** A control connection is gone; `facts` as they were. */
  closed(facts: Acquaintance, reason: string, wasWelcomed: boolean, isFinal: boolean): void {
    if (wasWelcomed) this.#dialer.worked((attempt) => means(attempt, facts));
    else this.#dialer.refused(facts.name, reason, isFinal);
    if (this.#isStopped) return;
    this.#dialer.refresh();
  }

  /** A neighbour that was with us is gone without saying that it leaves. */
  lost(facts: Acquaintance): void {
    const address = listening(facts);
    if (this.#ports.discovery && address !== undefined && !this.#isStopped) this.#former.add(facts.name, address);
  }

  /** Whom somebody may try that we have no room for. */
  referral(): Referral[] {
    const { neighbours, random } = this.#ports;
    return shuffled(random, [...neighbours.all()])
      .map(({ name, facts }) => ({ name, address: listening(facts) }))
      .filter((it): it is Referral => it.address !== undefined)
      .slice(0, REFERRALS);
  }

  /** Somebody without room names others. They are tried when nobody else has let us in. */
  referred(peers: readonly Referral[]): void {
    const { discovery, neighbours, self } = this.#ports;
    if (!discovery || this.#isStopped || [...neighbours.all()].some((neighbour) => neighbour.welcomed)) return;
    for (const { name, address } of peers.slice(0, REFERRALS)) {
      if (name !== self && parseIpPort(address)) this.#former.add(name, address);
    }
    this.survey();
  }

  /** Somebody is known to be alive: an inbound connection, or the topology names it anew. */
  signOfLife(peer: PeerName): void {
    this.#dialer.wake((attempt) => attempt.peer === peer);
  }
  /** An address is known to be alive, whoever is there. */
  addressAlive(address: string): void {
    const ip = ipOf(address);
    this.#dialer.wake(
      (attempt) => attempt.kind === "target" && (parseHostPort(attempt.key)?.host === ip || ipOf(attempt.lastAddress) === ip),
    );
  }
  networkChanged(): void {
    this.#dialer.wake(() => true);
  }

  /** Looks whom the topology names, and whom we still want. Called when it changed and now and then. */
  survey(): void {
    if (!this.#ports.discovery || this.#isStopped) return;
    const { topology, neighbours, self, limit } = this.#ports;
    const reachable = topology.reachable();
    this.#former.expire(reachable);
    this.#rememberMajority(reachable);
    const unconnected = [...reachable].filter((name) => name !== self && !neighbours.get(name)?.link);
    const isFull = wantedDegree(reachable.size - 1, limit) === reachable.size - 1;
    this.#dropIdle(reachable, isFull);
    const wanted = isFull ? unconnected : this.#choose(unconnected);
    for (const name of [...wanted, ...this.#former.names(), ...this.#staleNames()]) this.#want(name, isFull);
  }

  #staleNames(): PeerName[] {
    return [...this.#ports.neighbours.all()].filter((neighbour) => !neighbour.link).map((neighbour) => neighbour.name);
  }

  #want(name: PeerName, isFull: boolean): void {
    const key = `peer ${name}`;
    const record = this.#ports.topology.get(name);
    if (this.#dialer.has(key) || (record && this.#ports.isRevoked(record.key))) return;
    const { self, random } = this.#ports;
    const isSecond = isFull && !dialsFirst(self, name);
    this.#dialer.want(key, "peer", name, isSecond ? SECOND_DIALLER_MS + random.below(SECOND_DIALLER_MS) : 0);
  }

  #choose(unconnected: readonly PeerName[]): PeerName[] {
    const { random, topology, neighbours, limit } = this.#ports;
    const underway = [...this.#dialer.attempts()].filter((it) => it.kind === "peer" && it.state.is !== "satisfied").length;
    const candidates = unconnected
      .filter((name) => !this.#dialer.has(`peer ${name}`))
      .map((name) => ({ name, degree: topology.get(name)?.connections.size ?? 0 }));
    return choosePeers(random, candidates, neighbours.count + underway, limit);
  }

  /** Peers that are gone for good are dialled no more; in a partial mesh those that refuse give way to others. */
  #dropIdle(reachable: ReadonlySet<PeerName>, isFull: boolean): void {
    const hasEnough = this.#ports.neighbours.count >= wantedDegree(reachable.size - 1, this.#ports.limit);
    for (const attempt of [...this.#dialer.attempts()]) {
      if (attempt.kind !== "peer" || attempt.peer === undefined || attempt.state.is === "dialing") continue;
      const session = this.#ports.neighbours.get(attempt.peer);
      if (session && (isFull || !session.link)) continue;
      const isFormer = this.#former.has(attempt.peer);
      const isPointless = attempt.state.is === "satisfied" || (!isFull && !isFormer && (attempt.failures > 0 || hasEnough));
      const isUnknown = !reachable.has(attempt.peer) && !isFormer;
      if (!session && (isUnknown || isPointless)) this.#dialer.drop(attempt.key);
    }
  }

  /** More of the mesh is out of reach than within it, so it is rather we who were cut off, perhaps with all our neighbours dead:
   *  some of the others are tried, others each time. */
  #rememberMajority(reachable: ReadonlySet<PeerName>): void {
    const { topology, random } = this.#ports;
    const records = topology.records();
    if (reachable.size > records.length / 2) return;
    const lost = records.filter((record) => !reachable.has(record.name) && !this.#former.has(record.name));
    for (const { name, port } of shuffled(random, lost).slice(0, TRIED_AT_ONCE)) {
      const [address] = addressesOf(name, port, records);
      if (address !== undefined) this.#former.add(name, address);
    }
  }

  stop(): void {
    this.#isStopped = true;
    this.#dialer.stop();
  }
}

/** Where a peer we know can be dialled: its listening port at the address we see. */
function listening(facts: Acquaintance): string | undefined {
  return facts.outbound ? facts.address : withPort(facts.address, facts.port);
}
