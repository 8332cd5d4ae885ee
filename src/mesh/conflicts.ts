// SPDX-License-Identifier: Apache-2.0
// Two machines with one name. Asks over the mesh whether the first one is still alive, tells both what collides, and notices from
// records that keep being overbid that our own identity runs elsewhere too.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { pack, unpack } from "./codec.ts";
import { readInteger, readList, readText } from "./fields.ts";
import type { RecordVersion } from "./message.ts";
import type { PeerName } from "./peer-name.ts";
import { formatPeer } from "./peer-name.ts";
import type { Gossip } from "./ports.ts";
import { packUid, readUid } from "./record-codec.ts";
import type { Warnings } from "./warnings.ts";

/** The mesh's own unicast channel. Its messages are arrays that begin with one of these, append-only. */
export const MESH_CHANNEL = "mesh";
const ASK_ALIVE = 1;
const ALIVE = 2;
const CONFLICT = 3;
const REASON_MAX = 512;
/** Our record is raised above a foreign one at most so often, however the other bids. */
const RAISE_PAUSE_MS = 2000;
const FORGET_MS = 120_000;
/** A dead process's record turns up in several versions at most in the first moments; a living one bids on. */
const BIDS_OF_A_CLONE = 3;

export interface ConflictPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly warnings: Warnings;
  readonly self: PeerName;
  readonly nickname: string;
  readonly uid: string;
  gossip(): Gossip;
  aliveAnswer(name: PeerName, uid: string): void;
  raiseAbove(version: number): void;
  /** Addresses under which others are connected to our name; ours first. */
  addressesOfUs(): { here: string[]; elsewhere: string[] };
}

export class Conflicts {
  readonly #ports: ConflictPorts;
  readonly #bids = new Map<string, { count: number; version: number; at: Instant }>();
  #raisedAt: Instant = Number.NEGATIVE_INFINITY;
  #pending: { timer: Disposable; version: number } | undefined;

  constructor(ports: ConflictPorts) {
    this.#ports = ports;
  }

  /** The answer comes to `aliveAnswer`, or never. */
  askAlive(name: PeerName): void {
    this.#ports.gossip().unicast(name, pack([ASK_ALIVE]));
  }

  /** Two machines claim one name; the one that was there first, `known`, is told. */
  conflict(known: PeerName, reason: string): void {
    this.#warn(reason);
    if (known !== this.#ports.self) this.#ports.gossip().unicast(known, pack([CONFLICT, reason.slice(0, REASON_MAX)]));
  }

  #warn(reason: string): void {
    if (this.#ports.warnings.raise(reason, reason)) this.#ports.log.warn("peers collide", { reason });
  }

  /** @throws {ProtocolError} */
  received(from: PeerName, payload: Uint8Array): void {
    const [kind, value] = readList(unpack(payload), 16, "mesh message");
    switch (readInteger(kind, 0xffff, "mesh message number")) {
      case ASK_ALIVE:
        this.#ports.gossip().unicast(from, pack([ALIVE, packUid(this.#ports.uid)]));
        return;
      case ALIVE:
        this.#ports.aliveAnswer(from, readUid(value));
        return;
      case CONFLICT:
        this.#warn(readText(value, "reason", REASON_MAX));
        return;
      default: // of a later version
    }
  }

  /** Somebody holds a record of our name from another life: our last one, or a clone that is alive. */
  ownSeen(seen: RecordVersion): void {
    const now = this.#ports.clock.now();
    for (const [uid, bid] of this.#bids) if (now - bid.at > FORGET_MS) this.#bids.delete(uid);
    const bid = this.#bids.get(seen.uid);
    const isBid = bid !== undefined && seen.version > bid.version;
    if (!bid || isBid) this.#bids.set(seen.uid, { count: (bid?.count ?? 0) + 1, version: seen.version, at: now });
    if (isBid && bid.count + 1 >= BIDS_OF_A_CLONE) this.#warnOfClone();
    this.#raise(seen.version, now);
  }

  #raise(version: number, now: Instant): void {
    const dueMs = this.#raisedAt + (this.#bids.size > 0 ? this.#pauseMs() : 0) - now;
    if (dueMs <= 0) {
      this.#raisedAt = now;
      this.#ports.raiseAbove(version);
    } else if (this.#pending) {
      this.#pending.version = Math.max(this.#pending.version, version);
    } else {
      const timer = this.#ports.clock.after(dueMs, () => this.#raiseNow());
      this.#pending = { timer, version };
    }
  }

  #pauseMs(): number {
    const most = Math.max(...Array.from(this.#bids.values(), (bid) => bid.count));
    return most < BIDS_OF_A_CLONE ? 0 : RAISE_PAUSE_MS;
  }

  #raiseNow(): void {
    const version = this.#pending?.version ?? 0;
    this.#pending = undefined;
    this.#raisedAt = this.#ports.clock.now();
    this.#ports.raiseAbove(version);
  }

  #warnOfClone(): void {
    const { self, nickname } = this.#ports;
    const { here, elsewhere } = this.#ports.addressesOfUs();
    const places = `here at ${here.join(", ") || "an unknown address"} and at ${elsewhere.join(", ") || "an unknown address"}`;
    this.#warn(`cloned identity: ${formatPeer(self, nickname)} runs twice, ${places}; run 'weave reset' on one of them`);
  }

  stop(): void {
    this.#pending?.timer[Symbol.dispose]();
  }
}
