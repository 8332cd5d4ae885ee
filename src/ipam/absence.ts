// SPDX-License-Identifier: Apache-2.0
// Which owners of space have been away so long that it is time to take their space over. One of those who see each other does it for all, and only
// where they are more than those who are away: the smaller side of a partition must not take the larger one for dead.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Instant } from "../runtime/clock.ts";

export class Absence {
  readonly #since = new Map<PeerName, Instant>();

  /** Called once in a while. @param owners of space, ourselves left out  @param peers that can be reached  @returns whose space is due */
  look(
    self: PeerName,
    owners: readonly PeerName[],
    peers: ReadonlyMap<PeerName, unknown>,
    now: Instant,
    limitMs: number,
  ): readonly PeerName[] {
    const away = owners.filter((owner) => !peers.has(owner));
    for (const owner of this.#since.keys()) if (!away.includes(owner)) this.#since.delete(owner);
    for (const owner of away) if (!this.#since.has(owner)) this.#since.set(owner, now);
    if (peers.size + 1 <= away.length) return [];
    const present = owners.filter((owner) => peers.has(owner));
    if (present.some((owner) => owner < self)) return [];
    return away.filter((owner) => (this.#since.get(owner) ?? now) <= now - limitMs);
  }
}
