// SPDX-License-Identifier: Apache-2.0
// Records on the move: ours to everyone, others' changes in and onward, and what each new record means for the parts of the mesh. A peer we are
// connected to speaks for itself: what others say of it is only a reason to ask it.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { encodeMessage } from "./codec.ts";
import { PEERS_MAX } from "./fields.ts";
import type { GossipChannels } from "./gossip.ts";
import type { Message, RecordVersion } from "./message.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import { isLater, isNewer, type PeerRecord, type RecordDelta } from "./record.ts";
import type { Revocations } from "./revocations.ts";
import type { Topology } from "./topology.ts";

/** Passed on by then everywhere. */
const RELAYED_KEEP_MS = 60_000;
/** A neighbour's own word may be under way still while others tell of it already. */
const OWN_WORD_MS = 1000;

export interface ExchangePorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  readonly revocations: Revocations;
  readonly gossip: GossipChannels;
  /** Publishes at once what of our own record waits. */
  flush(): void;
  /** Our own record as published. */
  own(): PeerRecord;
  /** Asks `neighbour` for the whole record of `name`. False: somebody was asked just before. */
  want(neighbour: Neighbour, name: PeerName): boolean;
  /** Our name with a version that is not older than ours and not ours. */
  overbid(seen: RecordVersion): void;
  /** A neighbour may be dead. */
  hint(peer: PeerName): void;
  /** A peer has (re)appeared. */
  appeared(peer: PeerName): void;
  /** There is no room for more peers or connections. */
  full(): void;
  /** Computes routes now and tells them. */
  settleRoutes(): void;
  /** Some record changed. */
  changed(whose: "ours" | "theirs"): void;
}

function losesPath(before: PeerRecord, now: PeerRecord): boolean {
  for (const { peer, established } of before.connections.values()) {
    if (established && !now.connections.get(peer)?.established) return true;
  }
  return false;
}

export class RecordExchange {
  readonly #ports: ExchangePorts;
  /** What was passed on although we could not apply it. */
  readonly #relayed = new Map<PeerName, { uid: string; version: number; at: Instant }>();
  /** What others said of our neighbours. */
  readonly #hearsay = new Map<PeerName, { change: RecordVersion; at: Instant }>();

  constructor(ports: ExchangePorts) {
    this.#ports = ports;
  }

  /** Tells everyone our new record: the difference when there is a small one. */
  publish(record: PeerRecord, delta: RecordDelta | undefined): void {
    const touched = delta && [...delta.removed, ...delta.changed.map((entry) => entry.peer)];
    const before = this.#ports.topology.get(record.name);
    this.#ports.topology.setOwn(record, touched);
    // First we stop sending that way, then others learn that they must send around it: frames that still wait for a dead neighbour's MAC
    // address would otherwise arrive a second time when it is back.
    if (before && losesPath(before, record)) this.#ports.settleRoutes();
    const root = record.name;
    this.#ports.gossip.toAll(encodeMessage(delta ? { type: "delta", root, delta } : { type: "record", root, record }));
    this.#ports.changed("ours");
  }

  /** A change that comes along a broadcast tree: taken, and passed on if it was news. */
  receive(neighbour: Neighbour, message: Message & { type: "delta" | "record" }, bytes: Uint8Array): void {
    const { topology } = this.#ports;
    const change = message.type === "delta" ? message.delta : message.record;
    if (message.type === "record" && this.#ports.revocations.has(message.record.key)) return;
    if (this.#isHearsay(neighbour, change)) return;
    const before = topology.get(change.name);
    const merged = message.type === "delta" ? topology.mergeDelta(message.delta) : topology.merge(message.record);
    if (merged === "known") return;
    if (merged === "full") {
      this.#ports.full();
      return;
    }
    if (merged === "ours") {
      this.ownSeen(change);
      return;
    }
    if (merged === "new") this.#changed(before, change.name, message.type === "delta" ? message.delta : undefined);
    else if (!this.#isNewGap(neighbour, change)) return;
    // Others can place a newcomer only when they know of our connection with it.
    const isNewcomer = before === undefined && change.name === neighbour.name;
    if (isNewcomer && !this.#ports.own().connections.has(change.name)) this.#ports.flush();
    this.#ports.gossip.relay(message.root, bytes, neighbour.name, (root) => encodeMessage({ ...message, root }));
  }

  /** Its owner is connected to us and did not say it. */
  #isHearsay(from: Neighbour, change: RecordVersion): boolean {
    const owner = this.#ports.neighbours.get(change.name);
    if (!owner?.link || !owner.welcomed || owner.name === from.name) return false;
    const { name, uid, version } = change;
    const before = this.#hearsay.get(name);
    if (this.#isNews(change) && (!before || isNewer(change, before.change))) {
      this.#hearsay.set(name, { change: { name, uid, version }, at: before?.at ?? this.#ports.clock.now() });
    }
    return true;
  }

  #isNews(change: RecordVersion): boolean {
    const held = this.#ports.topology.get(change.name);
    return !held || isNewer(change, held);
  }

  /** Called at every tick of `Liveness`: asks neighbours about what only others said of them. */
  tick(): void {
    const before = this.#ports.clock.now() - OWN_WORD_MS;
    for (const [name, { change, at }] of this.#hearsay) {
      if (at > before) continue;
      this.#hearsay.delete(name);
      const owner = this.#ports.neighbours.get(name);
      if (!owner?.link || !this.#isNews(change) || !this.#ports.want(owner, name)) continue;
      // It learns what others hold of it, and goes above that if it is not its own word.
      owner.send({ type: "welcome", knownUid: change.uid, knownVersion: change.version });
    }
  }

  /** We lack the version it starts from: ask, and pass it on once. */
  #isNewGap(neighbour: Neighbour, change: RecordVersion): boolean {
    this.#ports.want(neighbour, change.name);
    const relayed = this.#relayed.get(change.name);
    if (relayed?.uid === change.uid && !isLater(change.version, relayed.version)) return false;
    if (!relayed && this.#relayed.size >= PEERS_MAX) return false; // names that somebody made up
    this.#relayed.set(change.name, { uid: change.uid, version: change.version, at: this.#ports.clock.now() });
    return true;
  }

  /** Records that came on request; true when any was new. */
  mergeAll(records: readonly PeerRecord[], from: Neighbour): boolean {
    let isNew = false;
    for (const record of records) {
      if (this.#ports.revocations.has(record.key) || this.#isHearsay(from, record)) continue;
      const before = this.#ports.topology.get(record.name);
      const merged = this.#ports.topology.merge(record);
      if (merged === "ours") this.ownSeen(record);
      if (merged === "full") this.#ports.full();
      if (merged !== "new") continue;
      isNew = true;
      this.#changed(before, record.name);
    }
    return isNew;
  }

  /** Somebody holds this version of a record of our name; 0: none. */
  ownSeen(seen: RecordVersion): void {
    const own = this.#ports.own();
    if (seen.version === 0) return;
    const isOurs = seen.uid === own.uid && !isLater(seen.version, own.version);
    if (!isOurs && !isLater(own.version, seen.version)) this.#ports.overbid(seen);
  }

  /** Called now and then. */
  sweep(): void {
    const before = this.#ports.clock.now() - RELAYED_KEEP_MS;
    for (const [peer, relayed] of this.#relayed) if (relayed.at < before) this.#relayed.delete(peer);
  }

  #changed(before: PeerRecord | undefined, name: PeerName, delta?: RecordDelta): void {
    const record = this.#ports.topology.get(name);
    if (!record) return;
    this.#relayed.delete(name);
    const neighbour = this.#ports.neighbours.get(name);
    if (neighbour && before?.shortId !== record.shortId) this.#ports.neighbours.openPath(neighbour);
    if (before?.uid !== record.uid) this.#ports.appeared(name);
    else this.#lookAfterDropped(before, record, delta);
    this.#ports.changed("theirs");
  }

  /** Somebody dropped a neighbour of ours: it may be dead. */
  #lookAfterDropped(before: PeerRecord, after: PeerRecord, delta: RecordDelta | undefined): void {
    const dropped = delta
      ? [...delta.removed, ...delta.changed.filter((entry) => !entry.established).map((entry) => entry.peer)]
      : [...before.connections.keys()];
    for (const name of dropped) {
      const wasEstablished = before.connections.get(name)?.established && !after.connections.get(name)?.established;
      if (wasEstablished && this.#ports.neighbours.get(name)) this.#ports.hint(name);
    }
  }
}
