// SPDX-License-Identifier: Apache-2.0
// Twelve bits per peer, unique among those that reach each other. Each peer draws its own; of two with the same id the one that
// joined later (the lower version, then the higher name) draws again, and both ends see from the same records which one that is.
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import { TokenBucket } from "../runtime/token-bucket.ts";
import { formatPeer, type PeerName, SHORT_ID_MAX, type ShortId } from "./peer-name.ts";
import type { PeerRecord } from "./record.ts";
import type { Topology } from "./topology.ts";
import type { Warnings } from "./warnings.ts";

/** Draws at once, and the pause after them: an honest mesh needs one now and then, and who follows every draw must not keep us drawing. */
const DRAWS_AT_ONCE = 5;
const DRAW_PAUSE_MS = 30_000;
const TOPIC = "short-ids";

interface Holder {
  readonly name: PeerName;
  readonly version: number;
  readonly shortId: ShortId;
}

/** The one of `others` to whom `self` must give its id up. */
export function rivalOf<Other extends Holder>(self: Holder, others: Iterable<Other>): Other | undefined {
  for (const other of others) {
    if (other.name === self.name || other.shortId !== self.shortId) continue;
    if (self.version !== other.version ? self.version < other.version : self.name > other.name) return other;
  }
  return undefined;
}

/** A random id that is not in use; undefined when all 4094 are. */
export function drawShortId(random: Random, used: ReadonlySet<ShortId>): ShortId | undefined {
  const free = SHORT_ID_MAX - [...used].filter((id) => id >= 1 && id <= SHORT_ID_MAX).length;
  if (free <= 0) return undefined;
  let skip = random.below(free);
  for (let id = 1; id <= SHORT_ID_MAX; id++) if (!used.has(id as ShortId) && skip-- === 0) return id as ShortId;
  return undefined;
}

export interface ShortIdPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly warnings: Warnings;
  readonly topology: Topology;
  own(): PeerRecord;
  publish(shortId: ShortId): void;
}

/** Looks after our own id. */
export class OwnShortId {
  readonly #ports: ShortIdPorts;
  readonly #draws: TokenBucket;

  constructor(ports: ShortIdPorts) {
    this.#ports = ports;
    this.#draws = new TokenBucket(ports.clock, { burst: DRAWS_AT_ONCE, refillMs: DRAW_PAUSE_MS });
  }

  /** Draws again when somebody else has it. Called after every change of the topology and now and then. */
  check(): void {
    const { random, log, warnings, topology } = this.#ports;
    const own = this.#ports.own();
    const others = Array.from(topology.reachable(), (name) => topology.get(name)!); // reachable ones have a record
    const rival = rivalOf(own, others);
    if (!rival) return;
    const used = new Set(others.map((record) => record.shortId));
    const shortId = drawShortId(random, used);
    if (shortId === undefined) {
      warnings.raise(TOPIC, "all 4094 short ids are in use: this host shares one with another, frames for it may get lost");
    } else if (!this.#draws.take()) {
      const who = formatPeer(rival.name, rival.nickname);
      warnings.raise(TOPIC, `the short id of this host is claimed by ${who} again and again: frames for it may get lost`);
    } else {
      warnings.clear(TOPIC);
      log.info("short id changed", { before: own.shortId, after: shortId, peer: formatPeer(rival.name, rival.nickname) });
      this.#ports.publish(shortId);
    }
  }
}
