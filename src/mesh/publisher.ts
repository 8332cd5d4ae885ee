// SPDX-License-Identifier: Apache-2.0
// Our own record: collects changes for a moment, raises the version once, and tells everyone the difference.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { PeerName, ShortId } from "./peer-name.ts";
import {
  type ConnectionEntry,
  diffRecords,
  isLater,
  type PeerRecord,
  type RecordDelta,
  versionAfter,
  WHOLE_RECORD_LIMIT,
} from "./record.ts";

/** The first change after a quiet time waits so long for others; while changes keep coming the pause doubles up to the maximum. */
const FIRST_PAUSE_MS = 20;
const MAX_PAUSE_MS = 640;
const QUIET_MS = 2000;
/** What nobody waits for (a latency class) travels with the next change, or after this. */
const LAZY_MS = 5000;

export interface PublisherPorts {
  readonly clock: Clock;
  entries(): Iterable<ConnectionEntry | undefined>;
  publish(record: PeerRecord, delta: RecordDelta | undefined): void;
}

export class Publisher {
  readonly #ports: PublisherPorts;
  #record: PeerRecord;
  #timer: { at: Instant; handle: Disposable } | undefined;
  #publishedAt: Instant = Number.NEGATIVE_INFINITY;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(ports: PublisherPorts, first: PeerRecord) {
    this.#ports = ports;
    this.#record = first;
  }

  /** As last published. */
  get record(): PeerRecord {
    return this.#record;
  }

  /** Something of our record has changed. */
  changed(urgency: "soon" | "lazy" = "soon"): void {
    const now = this.#ports.clock.now();
    if (now - this.#publishedAt > QUIET_MS) this.#pauseMs = FIRST_PAUSE_MS;
    const pauseMs = urgency === "lazy" ? LAZY_MS : this.#pauseMs;
    if (this.#timer && this.#timer.at <= now + pauseMs) return;
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = { at: now + pauseMs, handle: this.#ports.clock.after(pauseMs, () => this.flush()) };
  }

  /** Publishes now what has changed, if anything. */
  flush(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
    const connections = new Map<PeerName, ConnectionEntry>();
    for (const entry of this.#ports.entries()) if (entry) connections.set(entry.peer, entry);
    const next = { ...this.#record, version: versionAfter(this.#record.version), connections };
    const delta = diffRecords(this.#record, next);
    if (delta.removed.length + delta.changed.length > 0) this.#publish(next, delta);
  }

  setShortId(shortId: ShortId): void {
    if (shortId === this.#record.shortId) return;
    const next = { ...this.#record, shortId, version: versionAfter(this.#record.version) };
    this.#publish(next, diffRecords(this.#record, next));
  }

  /** Others hold a record of us with this version that we did not make: ours must be later. */
  raiseAbove(version: number): void {
    if (isLater(this.#record.version, version)) return;
    this.#publish({ ...this.#record, version: versionAfter(version) }, undefined);
  }

  #publish(next: PeerRecord, delta: RecordDelta | undefined): void {
    this.#record = next;
    this.#publishedAt = this.#ports.clock.now();
    this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2);
    this.#ports.publish(next, next.connections.size <= WHOLE_RECORD_LIMIT ? undefined : delta);
  }

  stop(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = undefined;
  }
}
