// SPDX-License-Identifier: Apache-2.0
// The parts of the mesh joined: each is made with the few things it needs, and what one notices that concerns another passes
// through here. `Mesh` (mesh.ts) is the face of it; nobody else uses it.
import type { Random } from "../runtime/random.ts";
import { ipOf } from "./address.ts";
import { type Claimant, isFinalReason, limitReason } from "./admission.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { Conflicts } from "./conflicts.ts";
import { Connector } from "./connector.ts";
import { dispatch, type Recipients } from "./dispatch.ts";
import { Doubt } from "./doubt.ts";
import { RecordExchange } from "./exchange.ts";
import { GossipChannels } from "./gossip.ts";
import { GossipPaths } from "./gossip-paths.ts";
import { Liveness } from "./liveness.ts";
import { alive, askAlive, conflict, hear, MESH_CHANNEL, type MeshListener, pathDown } from "./mesh-channel.ts";
import type { Acquaintance, Neighbour } from "./neighbour.ts";
import { Neighbours, type Outcome } from "./neighbours.ts";
import type { MeshOptions, MeshPorts, Wire } from "./options.ts";
import { formatPeer, type PeerName, type ShortId } from "./peer-name.ts";
import type { Gossip, Hello, Link, ProbeManner } from "./ports.ts";
import { Publisher } from "./publisher.ts";
import { applyDelta, type PeerRecord, versionAfter } from "./record.ts";
import type { RestoredMesh } from "./restore.ts";
import { Revocations } from "./revocations.ts";
import { Room } from "./room.ts";
import { RouteKeeper } from "./route-keeper.ts";
import { StateSaver } from "./saver.ts";
import { drawShortId, OwnShortId } from "./short-ids.ts";
import { Sync } from "./sync.ts";
import { Topology } from "./topology.ts";
import { TurnedAway } from "./turned-away.ts";
import { Warnings } from "./warnings.ts";

/** A saved state older than this is of no use: the neighbours have given us up. */
const RESTORE_MAX_AGE_MS = 5 * 60_000;
/** What is rarely needed is done at every so many ticks of `Liveness`, every 6 s. */
const RARE_TICKS = 4;

const plainWire: Wire = { decode: decodeMessage, applyDelta };

export class MeshCore {
  readonly options: MeshOptions;
  readonly ports: MeshPorts;
  readonly wire: Wire;
  readonly key: string;
  readonly uid: string;
  readonly warnings: Warnings;
  readonly revocations: Revocations;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  readonly publisher: Publisher;
  readonly routes: RouteKeeper;
  readonly gossip: GossipChannels;
  readonly sync: Sync;
  readonly liveness: Liveness;
  readonly connector: Connector;
  readonly room: Room;
  readonly conflicts: Conflicts;
  readonly turnedAway: TurnedAway;
  readonly #shortId: OwnShortId;
  readonly #meshGossip: Gossip;
  readonly #recipients: Recipients;
  readonly exchange: RecordExchange;
  readonly saver: StateSaver;
  #sequence: number;
  #ticks = 0;

  constructor(options: MeshOptions, ports: MeshPorts) {
    this.options = options;
    this.ports = ports;
    this.wire = ports.wire ?? plainWire;
    this.key = options.publicKey.toHex();
    const { clock, random, log, counters } = ports;
    this.uid = randomHex(random, 8);
    this.#sequence = random.below(2 ** 30);
    const restored = this.#usableState();
    this.warnings = new Warnings(clock);
    this.turnedAway = new TurnedAway(clock, (host) =>
      Array.from(this.neighbours.all()).some(({ facts }) => ipOf(facts.address) === host),
    );
    this.revocations = new Revocations([...(options.revoked ?? []), ...(restored?.revoked ?? [])]);
    this.topology = new Topology(options.name, clock, this.wire.applyDelta);
    this.saver = new StateSaver(clock, this, (state) => ports.remember(state));
    const doubt = new Doubt(clock, () => this.liveness.askSome());
    this.neighbours = this.#createNeighbours(doubt);
    this.publisher = new Publisher(
      {
        clock,
        entries: () => Array.from(this.neighbours.all(), (neighbour) => neighbour.entry()),
        publish: (record, delta) => this.exchange.publish(record, delta),
      },
      this.#firstRecord(restored),
    );
    this.#shortId = new OwnShortId({
      clock,
      random,
      log,
      warnings: this.warnings,
      topology: this.topology,
      own: () => this.publisher.record,
      publish: (shortId) => this.publisher.setShortId(shortId),
    });
    this.routes = new RouteKeeper({
      clock,
      topology: this.topology,
      self: options.name,
      facts: {
        shortId: (peer) => this.topology.get(peer)?.shortId,
        latencyClass: (peer) => this.neighbours.get(peer)?.latency.class ?? 0,
      },
      onRoutes: (routes) => ports.onRoutes(routes),
      onComputed: () => this.#topologySettled(),
    });
    const paths = new GossipPaths(this.topology, options.name, this.neighbours);
    this.gossip = new GossipChannels({
      self: options.name,
      uid: this.uid,
      random,
      log,
      counters,
      neighbours: this.neighbours,
      paths,
      stir: () => this.sync?.stir(),
    });
    this.sync = this.#createSync();
    this.liveness = new Liveness({
      clock,
      random,
      paths: ports.paths,
      neighbours: this.neighbours,
      topology: this.topology,
      doubt,
      self: options.name,
      tick: () => this.#tick(),
    });
    this.room = new Room({
      self: options.name,
      limit: options.connectionLimit,
      topology: this.topology,
      neighbours: this.neighbours,
      isTarget: (peer) => this.connector.isTarget(peer),
    });
    this.connector = new Connector({
      clock,
      random,
      log: ports.log,
      transport: ports.transport,
      hello: (address) => this.hello(address),
      neighbours: this.neighbours,
      topology: this.topology,
      self: options.name,
      port: options.port,
      discovery: options.discovery,
      limit: options.connectionLimit,
      limitFor: (peer) => this.room.limitFor(peer),
      isRevoked: (key) => this.revocations.has(key),
      admit: (link, report) => this.admit(link, report),
    });
    this.conflicts = this.#createConflicts();
    this.exchange = this.#createExchange();
    this.#meshGossip = this.gossip.channel(MESH_CHANNEL, {
      merge: () => undefined,
      received: (from, payload) => hear(this.#listener(), from, payload),
      digest: () => new Uint8Array(0),
      missing: () => undefined,
    });
    this.#recipients = {
      ...this,
      self: options.name,
      log,
      badMessages: counters.family("weave_mesh_bad_messages_total", "Messages of peers that were not understood."),
      revoke: (keys) => this.revoke(keys),
    };
    this.#takeUp(restored);
  }

  /** Takes over a link whose handshake has finished, whoever dialled; `report` is called once, perhaps later. */
  admit(link: Link, report: (outcome: Outcome) => void): void {
    this.neighbours.admit(link, (outcome) => {
      if (outcome.kind !== "refused") this.turnedAway.clear(link.remoteAddress);
      report(outcome);
    });
  }

  #createNeighbours(doubt: Doubt): Neighbours {
    const { clock, log, paths } = this.ports;
    return new Neighbours({
      clock,
      log,
      paths,
      doubt,
      self: (link) => this.#claimant(link.localAddress),
      isRevoked: (key) => this.revocations.has(key),
      elsewhere: (name) => this.#elsewhere(name),
      limitReached: (newcomer) => this.room.limitFor(newcomer),
      makeRoom: () => this.#makeRoom(),
      referral: () => this.connector.referral(),
      shortId: (name) => this.topology.get(name)?.shortId,
      askAlive: (name, token) => void this.#meshGossip.unicast(name, askAlive(token)),
      token: () => this.#token(),
      conflict: (known, reason) => this.#conflict(known, reason),
      probe: (neighbour, manner) => this.#probe(neighbour, manner),
      ping: (neighbour) => neighbour.send({ type: "ping", token: this.#token() }),
      suspect: (neighbour) => this.#suspect(neighbour),
      pathDown: (neighbour) => this.gossip.unicastAround(MESH_CHANNEL, neighbour.name, pathDown()),
      message: (neighbour, link, bytes) => dispatch(this.#recipients, neighbour, link, bytes),
      changed: () => this.#neighbourChanged(),
      opened: (neighbour) => this.#opened(neighbour),
      welcomed: (neighbour) => this.connector.opened(neighbour.name),
      controlLost: (neighbour, reason) =>
        this.connector.closed(neighbour.facts, reason, neighbour.welcomed, isFinalReason(reason)),
      gone: (neighbour, reason) => this.#gone(neighbour, reason),
    });
  }

  #createSync(): Sync {
    const { clock, random } = this.ports;
    return new Sync({
      clock,
      random,
      topology: this.topology,
      neighbours: this.neighbours,
      self: this.options.name,
      revokedHash: () => this.revocations.hash,
      revokedKeys: () => this.revocations.list(),
      channelDigests: () => this.gossip.digests(),
      compareChannels: (neighbour, theirs) => this.gossip.compare(neighbour, theirs),
      merge: (records, from) => this.exchange.mergeAll(records, from),
      ownSeen: (seen) => this.exchange.ownSeen(seen),
    });
  }

  #createExchange(): RecordExchange {
    return new RecordExchange({
      clock: this.ports.clock,
      log: this.ports.log,
      topology: this.topology,
      neighbours: this.neighbours,
      revocations: this.revocations,
      gossip: this.gossip,
      flush: () => this.publisher.flush(),
      own: () => this.publisher.record,
      want: (neighbour, name) => this.sync.want(neighbour, name),
      overbid: (seen) => this.conflicts.ownSeen(seen),
      hint: (peer) => this.liveness.hint(peer),
      appeared: (peer) => this.connector.signOfLife(peer),
      full: () => this.#full(),
      settleRoutes: () => this.routes.settle(),
      changed: (whose) => this.#recordsChanged(whose),
    });
  }

  #createConflicts(): Conflicts {
    const { clock, log } = this.ports;
    return new Conflicts({
      clock,
      log,
      warnings: this.warnings,
      self: this.options.name,
      nickname: this.options.nickname,
      raiseAbove: (version) => this.publisher.raiseAbove(version),
      addressesOfUs: () => this.#addressesOfUs(),
    });
  }

  #listener(): MeshListener {
    return {
      asked: (by, token) => void this.#meshGossip.unicast(by, alive(this.uid, token)),
      alive: (peer, uid, token) => this.neighbours.aliveAnswer(peer, token, uid),
      conflict: (reason) => this.conflicts.warn(reason),
      pathDown: (peer) => this.#pathDownSaid(peer),
    };
  }

  #token(): number {
    return this.#sequence++ % 2 ** 31;
  }

  #conflict(known: PeerName, reason: string): void {
    this.conflicts.warn(reason);
    if (known !== this.options.name) this.#meshGossip.unicast(known, conflict(reason));
  }

  /** Said over others, because the direct connection may be cut. */
  #pathDownSaid(peer: PeerName): void {
    const neighbour = this.neighbours.get(peer);
    if (neighbour) this.neighbours.doubtRemotePath(neighbour);
  }

  /** The saved state, when it is ours and young enough. */
  #usableState(): RestoredMesh | undefined {
    const { restored, name } = this.options;
    if (!restored || restored.name !== name) return undefined;
    const age = this.ports.clock.wallMs() - restored.savedAtMs;
    return age >= 0 && age < RESTORE_MAX_AGE_MS ? restored : undefined;
  }

  #firstRecord(restored: RestoredMesh | undefined): PeerRecord {
    const { name, nickname, port } = this.options;
    const used = new Set(restored?.records.map((record) => record.shortId));
    const shortId = restored?.shortId ?? drawShortId(this.ports.random, used) ?? (1 as ShortId);
    return {
      name,
      uid: this.uid,
      version: versionAfter(restored?.version ?? 0),
      nickname,
      shortId,
      key: this.key,
      port,
      connections: new Map(),
    };
  }

  /** Begins where the last life ended: same records, same neighbours, same routes. */
  #takeUp(restored: RestoredMesh | undefined): void {
    this.topology.setOwn(this.publisher.record);
    for (const record of restored?.records ?? []) {
      if (record.name !== this.options.name && !this.revocations.has(record.key)) this.topology.merge(record);
    }
    for (const facts of restored?.neighbours ?? []) if (this.#stillHolds(facts)) this.neighbours.restore(facts);
    if (restored) this.publisher.flush();
  }

  /** Whether the neighbour would be let in as it was then. */
  #stillHolds({ key, passwordUsed, trusted, address }: Acquaintance): boolean {
    const { passwordSet, trusts } = this.options;
    return !this.revocations.has(key) && passwordUsed === passwordSet && (!trusted || trusts(ipOf(address)));
  }

  /** What to say of ourselves in a handshake with `remoteAddress`. */
  hello(remoteAddress: string): Omit<Hello, "publicKey"> {
    const { name, nickname, port, transports } = this.options;
    const nonce = this.ports.random.below(2 ** 32);
    const { shortId } = this.publisher.record;
    const trusted = this.options.trusts(ipOf(remoteAddress));
    return { name, nickname, uid: this.uid, shortId, port, nonce, trusted, transports };
  }

  #claimant(address: string): Claimant {
    const { name, nickname } = this.options;
    return { name, nickname, uid: this.uid, key: this.key, address };
  }

  #elsewhere(name: PeerName): Claimant | undefined {
    const record = this.topology.get(name);
    if (!record || !this.topology.reachable().has(name)) return undefined;
    const address = this.#addressesListed(name)[0] ?? "an unknown address";
    return { name, nickname: record.nickname, uid: record.uid, key: record.key, address };
  }

  #addressesListed(name: PeerName): string[] {
    return this.topology.records().flatMap((record) => record.connections.get(name)?.address ?? []);
  }

  #addressesOfUs(): { here: string[]; elsewhere: string[] } {
    const own = new Set(Array.from(this.neighbours.all(), (neighbour) => ipOf(neighbour.link?.localAddress ?? "")));
    const all = [...new Set(this.#addressesListed(this.options.name).map(ipOf))].sort();
    return { here: [...own].filter((ip) => ip !== ""), elsewhere: all.filter((ip) => !own.has(ip)) };
  }

  // Neighbours

  #opened(neighbour: Neighbour): void {
    const held = this.topology.get(neighbour.name);
    neighbour.send({ type: "welcome", knownUid: held?.uid ?? neighbour.facts.uid, knownVersion: held?.version ?? 0 });
    if (!this.topology.reachable().has(neighbour.name)) this.sync.show(neighbour);
    this.connector.opened(neighbour.name);
    this.liveness.changed();
  }

  #gone(neighbour: Neighbour, reason: string): void {
    const { name, facts, welcomed } = neighbour;
    const fields = { peer: formatPeer(name, facts.nickname), address: facts.address, reason };
    // One that was refused has never been with us; whoever dialled it tells the reason.
    if (welcomed) this.ports.log.info("neighbour gone", fields);
    else this.ports.log.debug("neighbour gone", fields);
    this.liveness.forget(neighbour.name);
    if (neighbour.welcomed && !neighbour.hasLeft) this.connector.lost(neighbour.facts);
    // When everybody knows already that nothing passes, the end of it can wait for the next change.
    this.#neighbourChanged(neighbour.isCut ? "lazy" : "soon");
  }

  #neighbourChanged(urgency: "soon" | "lazy" = "soon"): void {
    this.publisher.changed(urgency);
    this.liveness.changed();
    this.saver.soon();
  }

  #makeRoom(): void {
    const neighbour = this.room.excess();
    if (neighbour) this.neighbours.expel(neighbour, limitReason(this.options.connectionLimit));
  }

  #probe(neighbour: Neighbour, manner: ProbeManner): void {
    this.liveness.probed(neighbour.name);
    this.ports.paths.probe(neighbour.name, manner);
  }

  /** A path probe came back. Those of an earlier life count too: it was this kernel that sent them, and theirs that answered. */
  pathReply(name: PeerName, rttMs: number): void {
    const neighbour = this.neighbours.get(name);
    if (!neighbour) return;
    this.liveness.answered(name);
    neighbour.answeredAt = this.ports.clock.now();
    if (neighbour.latency.add(rttMs)) this.publisher.changed("lazy");
    neighbour.path.answered(neighbour.latency.rttMs ?? rttMs);
  }

  #suspect(silent: Neighbour): void {
    this.liveness.askSome();
    const record = this.topology.get(silent.name);
    for (const neighbour of this.neighbours.all()) {
      if (neighbour !== silent && record?.connections.has(neighbour.name)) neighbour.send({ type: "suspect", peer: silent.name });
    }
  }

  // Topology

  #full(): void {
    const reason = "more peers or connections are told of than a network can have: new ones are not taken in";
    if (this.warnings.raise("full", reason)) this.ports.log.warn("network full", { reason });
  }

  #recordsChanged(whose: "ours" | "theirs"): void {
    this.routes.changed(whose === "ours" ? "now" : "soon");
    this.sync.stir();
    this.liveness.changed();
    this.saver.soon();
  }

  /** Routes were computed anew, or some time has passed: a good moment for what depends on the whole topology. */
  #topologySettled(): void {
    this.#shortId.check();
    this.connector.survey();
  }

  /** Refuses these keys from now on and tells the neighbours, if any is news. */
  revoke(keys: readonly string[]): void {
    const added = this.revocations.add(keys);
    if (added.length === 0) return;
    this.gossip.toAll(encodeMessage({ type: "revoked", keys: added }));
    for (const key of added) this.ports.log.warn("key revoked", { peer: this.#ownerOf(key), key });
    if (added.includes(this.key))
      this.warnings.raise("revoked", "the key of this host was revoked; run 'weave reset' to get a new one");
    for (const neighbour of [...this.neighbours.all()]) {
      if (this.revocations.has(neighbour.facts.key)) this.neighbours.expel(neighbour, "revoked key: this peer's key was revoked");
    }
    for (const record of this.topology.records()) if (this.revocations.has(record.key)) this.topology.forget(record.name);
    this.routes.changed("now");
    this.saver.soon();
  }

  /** In words; undefined: nobody we know. */
  #ownerOf(key: string): string | undefined {
    for (const record of this.topology.records()) if (record.key === key) return formatPeer(record.name, record.nickname);
    return undefined;
  }

  #tick(): void {
    this.#ticks++;
    this.sync.repairDrained();
    this.exchange.tick();
    if (this.#ticks % RARE_TICKS !== 0) return;
    this.#topologySettled();
    this.#sweep();
  }

  #sweep(): void {
    this.topology.sweep();
    this.exchange.sweep();
  }
}

function randomHex(random: Random, bytes: number): string {
  return Uint8Array.from({ length: bytes }, () => random.below(256)).toHex();
}
