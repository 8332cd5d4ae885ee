// SPDX-License-Identifier: Apache-2.0
// From no ring to a ring: by seeds at once, by consensus when somebody in the network first needs an address, or, for an observer, by waiting for
// the others. Drives consensus.ts: whose turn it is to propose, what is told to whom, when it is decided.
import { PEERS_MAX } from "../mesh/fields.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Random } from "../runtime/random.ts";
import { decided, mergeVotes, NO_VOTE, propose, think, type Vote, type Votes } from "./consensus.ts";

export type InitMode =
  /** `electors`: how many there are; undefined: as many as this host has targets, and itself. */
  | { readonly by: "consensus"; readonly electors: number | undefined }
  | { readonly by: "seed"; readonly founders: readonly PeerName[] }
  | { readonly by: "observer" };

/** The elector whose name comes first proposes at once; the others wait their turn, so that proposers do not outbid each other for ever. */
const TURN_MS = 1_000;
/** A ballot waits for those who come later, so further ones are needed only when its proposer has died. */
const PAUSE_MAX_MS = 15_000;

export interface FoundingPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** Electors to be expected when their number was not given, this host included. Those that have been met count as well. */
  electors(): number;
  /** Others that can be reached now. */
  peers(): ReadonlyMap<PeerName, unknown>;
  /** To everybody, once our own record in it is on disk. */
  tell(votes: Votes): void;
  /** The ring begins; called once. `isOurs`: we proposed it, and tell those who cannot know. */
  found(founders: readonly PeerName[], isOurs: boolean): void;
}

export class Founding implements Disposable {
  readonly #self: PeerName;
  readonly #mode: InitMode;
  readonly #ports: FoundingPorts;
  #votes: Votes;
  #timer: Disposable | undefined;
  /** Highest round seen. */
  #round = 0;
  #attempts = 0;
  #isOver = false;

  constructor(self: PeerName, mode: InitMode, ports: FoundingPorts, ownVote: Vote | undefined) {
    this.#self = self;
    this.#mode = mode;
    this.#ports = ports;
    this.#votes = new Map([[self, { ...(ownVote ?? NO_VOTE), elector: mode.by === "consensus" }]]);
  }

  /** With seeds there is nothing to wait for. Everybody else shows himself, so that he becomes one of the founders. */
  start(): void {
    if (this.#mode.by === "seed") this.#finish(this.#mode.founders, false);
    else this.#ports.tell(this.#votes);
  }
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#timer?.[Symbol.dispose]();
  }

  get votes(): Votes {
    return this.#votes;
  }
  get ownVote(): Vote {
    return this.#votes.get(this.#self) ?? NO_VOTE;
  }
  get quorum(): number {
    const given = this.#mode.by === "consensus" ? this.#mode.electors : undefined;
    return Math.floor((given ?? Math.max(this.#ports.electors(), this.#present())) / 2) + 1;
  }
  /** Electors that can be reached now, this host included. */
  #present(): number {
    const peers = this.#ports.peers();
    return [...this.#votes].filter(([peer, vote]) => vote.elector && (peer === this.#self || peers.has(peer))).length;
  }
  /** Everybody within reach has shown himself: nobody has a ring that we will hear of in a moment. */
  #isAcquainted(): boolean {
    return [...this.#ports.peers().keys()].every((peer) => this.#votes.has(peer));
  }
  /** Electors that have shown themselves. */
  get known(): number {
    return [...this.#votes.values()].filter((vote) => vote.elector).length;
  }
  get isElector(): boolean {
    return this.#mode.by === "consensus";
  }
  /** Somebody waits for a ring. */
  get isWanted(): boolean {
    return [...this.#votes.values()].some((vote) => vote.wants);
  }

  /** Somebody here needs a ring. */
  want(): void {
    if (this.#isOver) return;
    if (!this.ownVote.wants) this.#change({ ...this.ownVote, wants: true });
    this.#strive();
  }

  /** What others say; returns what was new. */
  merge(theirs: Votes): Votes {
    if (this.#isOver) return new Map();
    const isFull = this.#votes.size >= PEERS_MAX;
    const known = isFull ? new Map([...theirs].filter(([peer]) => this.#votes.has(peer))) : theirs;
    const { votes, fresh } = mergeVotes(this.#votes, known);
    if (fresh.size === 0) return fresh;
    this.#votes = votes;
    this.#consider();
    this.#strive();
    return fresh;
  }

  /** A ring came from somebody else. */
  over(): void {
    this[Symbol.dispose]();
  }

  #change(vote: Vote): void {
    this.#votes = new Map(this.#votes).set(this.#self, vote);
    this.#ports.tell(new Map([[this.#self, vote]]));
  }

  #consider(): void {
    if (!this.isElector) return; // observers may be wrong about the quorum
    // While everybody only shows himself there is nothing to think about, and it would be done for each of them by each of them.
    if (![...this.#votes.values()].some((vote) => vote.promised)) return;
    const { quorum } = this; // costs a look at all peers
    // A proposer that is a quorum by itself promises, accepts and decides in one go.
    for (let next = think(this.#votes, this.#self, quorum); next !== this.ownVote; ) {
      this.#change(next);
      next = think(this.#votes, this.#self, quorum);
    }
    const founders = decided(this.#votes, quorum);
    if (founders) this.#finish(founders, this.ownVote.promised?.proposer === this.#self);
  }

  /** Proposes when it is our turn; another's ballot that comes meanwhile is given its time. */
  #strive(): void {
    const highest = [...this.#votes.values()].reduce((most, vote) => Math.max(most, vote.promised?.round ?? 0), 0);
    const isOutbid = highest > this.#round;
    this.#round = Math.max(this.#round, highest);
    if (this.#isOver || !this.isElector || !this.isWanted || (this.#timer && !isOutbid)) return;
    const rank = [...this.#votes].filter(([peer, vote]) => vote.elector && peer < this.#self).length;
    if (rank === 0 && highest === 0 && this.#isAcquainted()) this.#propose();
    if (this.#isOver) return;
    this.#timer?.[Symbol.dispose]();
    const pauseMs = Math.min(PAUSE_MAX_MS, TURN_MS * (1 + rank) * 2 ** Math.min(this.#attempts++, 8));
    const delayMs = pauseMs + this.#ports.random.below(TURN_MS);
    this.#timer = this.#ports.clock.after(delayMs, () => {
      this.#timer = undefined;
      this.#propose();
      this.#strive();
    });
  }

  #propose(): void {
    this.#change(propose(this.#votes, this.#self));
    this.#consider();
  }

  #finish(founders: readonly PeerName[], isOurs: boolean): void {
    if (this.#isOver) return;
    this.over();
    this.#ports.found(founders, isOurs);
  }
}
