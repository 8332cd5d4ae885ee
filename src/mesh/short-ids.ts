// SPDX-License-Identifier: Apache-2.0
// Twelve bits per peer, unique among those that reach each other. Each peer draws its own; of two with the same id the one that
// joined later (the lower version, then the higher name) draws again, and both ends see from the same records which one that is.
import type { Random } from "../runtime/random.ts";
import { type PeerName, SHORT_ID_MAX, type ShortId } from "./peer-name.ts";

interface Holder {
  readonly name: PeerName;
  readonly version: number;
  readonly shortId: ShortId;
}

/** True when `self` must give its id up to one of `others`. */
export function mustRedraw(self: Holder, others: Iterable<Holder>): boolean {
  for (const other of others) {
    if (other.name === self.name || other.shortId !== self.shortId) continue;
    if (self.version !== other.version ? self.version < other.version : self.name > other.name) return true;
  }
  return false;
}

/** A random id that is not in use; undefined when all 4094 are. */
export function drawShortId(random: Random, used: ReadonlySet<ShortId>): ShortId | undefined {
  const free = SHORT_ID_MAX - [...used].filter((id) => id >= 1 && id <= SHORT_ID_MAX).length;
  if (free <= 0) return undefined;
  let skip = random.below(free);
  for (let id = 1; id <= SHORT_ID_MAX; id++) if (!used.has(id as ShortId) && skip-- === 0) return id as ShortId;
  return undefined;
}
