// SPDX-License-Identifier: Apache-2.0
// Repair: neighbours compare digests of all they know, rarely while all is quiet, often after changes. Only when digests differ do
// they exchange the list of versions, and then only the records in which they differ. The one who knows less shows its list, so a
// newcomer gets everything once, from the one it asked.
import type { Clock, Instant } from "../runtime/clock.ts";
import { pick, type Random } from "../runtime/random.ts";
import { encodeMessage } from "./codec.ts";
import type { Digest, Message, RecordVersion } from "./message.ts";
import type { Neighbour } from "./neighbour.ts";
import type { Neighbours } from "./neighbours.ts";
import type { PeerName } from "./peer-name.ts";
import { isNewer, type PeerRecord } from "./record.ts";
import type { Topology } from "./topology.ts";

const QUIET_PAUSE_MS = 30_000;
const BUSY_PAUSE_MS = 400;
const BUSY_MAX_MS = 1200;
/** An exchange that was not answered for so long is given up. */
const ANSWER_MS = 2000;
/** Records asked for at one time. */
const WANTED_MAX = 1024;
/** Connections in one message of records: about 60 kB. */
const CHUNK_CONNECTIONS = 2000;

export interface SyncPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly topology: Topology;
  readonly neighbours: Neighbours;
  readonly self: PeerName;
  revokedHash(): number;
  revokedKeys(): string[];
  channelDigests(): [string, number][];
  compareChannels(neighbour: Neighbour, theirs: Digest["channels"]): void;
  /** Takes records in; true when any was new. */
  merge(records: readonly PeerRecord[], from: Neighbour): boolean;
  /** Somebody holds a version of our own record from another life. */
  ownSeen(seen: RecordVersion, by: Neighbour): void;
}

export class Sync {
  readonly #ports: SyncPorts;
  #pauseMs = QUIET_PAUSE_MS;
  #timer: { at: Instant; handle: Disposable } | undefined;
  /** A comparison put off by changes is made by then. */
  #latest: Instant | undefined;
  #asked: { neighbour: PeerName; until: Instant } | undefined;
  /** Until when an answer is awaited, the earliest first. */
  readonly #wanted = new Map<PeerName, Instant>();

  constructor(ports: SyncPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#schedule(this.#jittered(QUIET_PAUSE_MS));
  }
  stop(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
  }

  /** Something changed: digests are compared soon and then, if all is well, ever more rarely. */
  stir(): void {
    const now = this.#ports.clock.now();
    this.#pauseMs = BUSY_PAUSE_MS;
    const pauseMs = this.#jittered(BUSY_PAUSE_MS);
    // While changes keep coming digests differ for no reason, so the comparison waits for a lull, but not for ever.
    this.#latest ??= now + BUSY_MAX_MS;
    this.#arm(Math.min(pauseMs, Math.max(0, this.#latest - now)));
  }

  #jittered(ms: number): number {
    return ms * 0.75 + this.#ports.random.below(Math.ceil(ms / 2));
  }

  /** Keeps an earlier date. */
  #schedule(pauseMs: number): void {
    const at = this.#ports.clock.now() + pauseMs;
    if (!this.#timer || this.#timer.at > at) this.#arm(pauseMs);
  }

  #arm(pauseMs: number): void {
    this.stop();
    const handle = this.#ports.clock.after(pauseMs, () => this.#round());
    this.#timer = { at: this.#ports.clock.now() + pauseMs, handle };
  }

  #round(): void {
    this.#timer = undefined;
    this.#latest = undefined;
    const up = [...this.#ports.neighbours.all()].filter((it) => it.link && it.welcomed && !it.isCut && !it.path.isMissing);
    if (up.length > 0) this.show(pick(this.#ports.random, up));
    this.#pauseMs = Math.min(QUIET_PAUSE_MS, this.#pauseMs * 2);
    this.#schedule(this.#jittered(this.#pauseMs));
  }

  /** Sends our digest to one neighbour. */
  show(neighbour: Neighbour, askList = false): void {
    const { sums, peers } = this.#ports.topology.digest();
    const channels = this.#ports.channelDigests();
    neighbour.send({ type: "digest", records: sums, peers, askList, revoked: this.#ports.revokedHash(), channels });
  }

  /** Sends all digests that fell out of full queues, where the queue has drained. */
  repairDrained(): void {
    for (const neighbour of this.#ports.neighbours.all()) {
      if (!neighbour.needsRepair || !neighbour.link || neighbour.link.queuedBytes() > 0) continue;
      neighbour.needsRepair = false;
      this.show(neighbour, true);
    }
  }

  receiveDigest(neighbour: Neighbour, digest: Digest): void {
    const { topology } = this.#ports;
    if (digest.revoked !== this.#ports.revokedHash()) neighbour.send({ type: "revoked", keys: this.#ports.revokedKeys() });
    this.#ports.compareChannels(neighbour, digest.channels);
    const ours = topology.digest();
    if (ours.sums[0] === digest.records[0] && ours.sums[1] === digest.records[1]) return;
    this.#schedule(this.#jittered(BUSY_PAUSE_MS));
    if (digest.askList || ours.peers <= digest.peers) this.#sendList(neighbour);
    else this.show(neighbour, true);
  }

  #sendList(neighbour: Neighbour): void {
    const now = this.#ports.clock.now();
    if (this.#asked && this.#asked.until > now) return;
    this.#asked = { neighbour: neighbour.name, until: now + ANSWER_MS };
    neighbour.send({ type: "list", versions: this.#ports.topology.versions() });
  }

  receiveList(neighbour: Neighbour, versions: readonly RecordVersion[]): void {
    const { topology, self } = this.#ports;
    const theirs = new Map(versions.map((entry) => [entry.name, entry]));
    const own = theirs.get(self);
    if (own) this.#ports.ownSeen(own, neighbour);
    const records: PeerRecord[] = [];
    for (const name of topology.reachable()) {
      const record = topology.get(name);
      const known = theirs.get(name);
      if (record && (!known || isNewer(record, known))) records.push(record);
    }
    const want = versions.filter((entry) => this.#lacks(entry)).map((entry) => entry.name);
    this.#sendRecords(neighbour, records, want);
  }

  #lacks(entry: RecordVersion): boolean {
    const record = this.#ports.topology.get(entry.name);
    return entry.name !== this.#ports.self && (!record || isNewer(entry, record));
  }

  #sendRecords(neighbour: Neighbour, records: readonly PeerRecord[], want: readonly PeerName[]): void {
    let chunk: PeerRecord[] = [];
    let size = 0;
    for (const record of records) {
      if (size > 0 && size + record.connections.size > CHUNK_CONNECTIONS) {
        neighbour.send({ type: "records", records: chunk, want: [] });
        chunk = [];
        size = 0;
      }
      chunk.push(record);
      size += record.connections.size + 1;
    }
    neighbour.send({ type: "records", records: chunk, want });
  }

  receiveRecords(neighbour: Neighbour, message: Message & { type: "records" }): void {
    if (this.#asked?.neighbour === neighbour.name) this.#asked = undefined;
    for (const record of message.records) this.#wanted.delete(record.name);
    if (this.#ports.merge(message.records, neighbour)) this.stir();
    const records = message.want.flatMap((name) => this.#ports.topology.get(name) ?? []);
    if (records.length > 0) this.#sendRecords(neighbour, records, []);
  }

  /** We lack a record, or only its owner can say whether there is a newer one: asks `neighbour`. False: somebody was asked just before. */
  want(neighbour: Neighbour, name: PeerName): boolean {
    const now = this.#ports.clock.now();
    for (const [wanted, until] of this.#wanted) {
      if (until > now) break;
      this.#wanted.delete(wanted);
    }
    if (this.#wanted.has(name) || this.#wanted.size >= WANTED_MAX) return false;
    this.#wanted.set(name, now + ANSWER_MS);
    neighbour.sendBulk(encodeMessage({ type: "records", records: [], want: [name] }));
    return true;
  }
}
