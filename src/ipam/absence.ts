// SPDX-License-Identifier: Apache-2.0
// Which owners of space have been away so long that it is time to take their space over. One of those who see each other does it for all, and only
// where they are more than those who are away: the smaller side of a partition must not take the larger one for dead, and of two halves neither may.
// So in a network of two nobody's space is ever due: a dead peer looks like a cut cable, and both would give out the same addresses. It is told instead.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Clock, Instant } from "../runtime/clock.ts";

export interface AbsenceOptions {
  readonly self: PeerName;
  /** 0: nobody's space is ever due. */
  readonly limitMs: number;
  readonly clock: Clock;
  /** Others that can be reached now. */
  peers(): ReadonlyMap<PeerName, unknown>;
}

export class Absence {
  readonly #options: AbsenceOptions;
  readonly #since = new Map<PeerName, Instant>();
  #isLarger = true;

  constructor(options: AbsenceOptions) {
    this.#options = options;
  }

  /** Called once in a while. Whose space is due. */
  look(owners: readonly PeerName[]): readonly PeerName[] {
    const { self, clock } = this.#options;
    const peers = this.#options.peers();
    const away = owners.filter((owner) => owner !== self && !peers.has(owner));
    for (const owner of this.#since.keys()) if (!away.includes(owner)) this.#since.delete(owner);
    for (const owner of away) if (!this.#since.has(owner)) this.#since.set(owner, clock.now());
    this.#isLarger = peers.size + 1 > away.length;
    if (!this.#isLarger) return [];
    const present = owners.filter((owner) => owner === self || peers.has(owner));
    // With no owner left it is any of those who are there; two that both took over would give out the same addresses for a moment.
    const candidates = present.length > 0 ? present : [self, ...peers.keys()];
    return Math.min(...candidates) === self ? this.#overdue() : [];
  }

  /** Whose space would be due, if more were here than away. Who has come back since the last look is none of them. */
  undecided(): readonly PeerName[] {
    const peers = this.#options.peers();
    return this.#isLarger ? [] : this.#overdue().filter((owner) => !peers.has(owner));
  }

  #overdue(): PeerName[] {
    const { limitMs, clock } = this.#options;
    if (limitMs === 0) return [];
    return [...this.#since].filter(([, since]) => since <= clock.now() - limitMs).map(([owner]) => owner);
  }
}
