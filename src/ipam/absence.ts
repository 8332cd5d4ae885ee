// SPDX-License-Identifier: Apache-2.0
// Which owners of space have been away so long that it is time to take their space over. One of those who see each other does it for all, and only
// where they are more than those who are away: the smaller side of a partition must not take the larger one for dead, and of two halves neither may.
// So in a network of two nobody's space is ever due: a dead peer looks like a cut cable, and both would give out the same addresses. It is told instead.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Instant } from "../runtime/clock.ts";

export class Absence {
  readonly #since = new Map<PeerName, Instant>();
  #isLarger = true;

  /** Called once in a while. @param owners of space  @param peers others that can be reached  @returns whose space is due */
  look(
    self: PeerName,
    owners: readonly PeerName[],
    peers: ReadonlyMap<PeerName, unknown>,
    now: Instant,
    limitMs: number,
  ): readonly PeerName[] {
    const away = owners.filter((owner) => owner !== self && !peers.has(owner));
    for (const owner of this.#since.keys()) if (!away.includes(owner)) this.#since.delete(owner);
    for (const owner of away) if (!this.#since.has(owner)) this.#since.set(owner, now);
    this.#isLarger = peers.size + 1 > away.length;
    if (!this.#isLarger) return [];
    const present = owners.filter((owner) => owner === self || peers.has(owner));
    // With no owner left it is any of those who are there; two that both took over would give out the same addresses for a moment.
    const candidates = present.length > 0 ? present : [self, ...peers.keys()];
    if (Math.min(...candidates) !== self) return [];
    return this.#overdue(now, limitMs);
  }

  /** Whose space would be due, if more were here than away. */
  undecided(now: Instant, limitMs: number): readonly PeerName[] {
    return this.#isLarger ? [] : this.#overdue(now, limitMs);
  }

  #overdue(now: Instant, limitMs: number): PeerName[] {
    return [...this.#since].filter(([, since]) => since <= now - limitMs).map(([owner]) => owner);
  }
}
