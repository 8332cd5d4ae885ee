// SPDX-License-Identifier: Apache-2.0
// How peers that have no ring agree on one: single-decree Paxos (Lamport 2001) over gossip. Each peer owns one record: what it promised and what
// it accepted; records merge by taking the larger of each. The value decided is the list of founders. Observers have a record that
// promises nothing; it only says that they want a ring. Pure: values in, values out; the caller keeps its own record on disk before it tells
// it, because an acceptor that forgets can make two rings.
import type { PeerName } from "../mesh/peer-name.ts";

export interface Ballot {
  /** 0: none yet. */
  readonly round: number;
  readonly proposer: PeerName;
}
export interface Accepted {
  readonly ballot: Ballot;
  /** The founders, sorted. */
  readonly value: readonly PeerName[];
}
export interface Vote {
  /** It will not accept anything below. undefined: it has not promised anything, or never will (an observer). */
  readonly promised: Ballot | undefined;
  readonly accepted: Accepted | undefined;
  readonly elector: boolean;
  /** Somebody there waits for a ring. Once said it stays. */
  readonly wants: boolean;
}
export type Votes = ReadonlyMap<PeerName, Vote>;

export const ROUND_MAX = 2 ** 31;
export const NO_VOTE: Vote = { promised: undefined, accepted: undefined, elector: false, wants: false };

export function compareBallots(a: Ballot | undefined, b: Ballot | undefined): number {
  if (!a || !b) return Number(a !== undefined) - Number(b !== undefined);
  return a.round - b.round || a.proposer - b.proposer;
}

function later<Item>(a: Item, b: Item, ballotOf: (item: Item) => Ballot | undefined): Item {
  return compareBallots(ballotOf(a), ballotOf(b)) >= 0 ? a : b;
}

function mergeVote(a: Vote, b: Vote): Vote {
  return {
    promised: later(a.promised, b.promised, (ballot) => ballot),
    accepted: later(a.accepted, b.accepted, (accepted) => accepted?.ballot),
    elector: a.elector || b.elector,
    wants: a.wants || b.wants,
  };
}

function isSameVote(a: Vote, b: Vote): boolean {
  return (
    compareBallots(a.promised, b.promised) === 0 &&
    compareBallots(a.accepted?.ballot, b.accepted?.ballot) === 0 &&
    a.elector === b.elector &&
    a.wants === b.wants
  );
}

/** `fresh` has the merged records that differ from ours. */
export function mergeVotes(ours: Votes, theirs: Votes): { readonly votes: Votes; readonly fresh: Votes } {
  const votes = new Map(ours);
  const fresh = new Map<PeerName, Vote>();
  for (const [peer, vote] of theirs) {
    const before = ours.get(peer);
    const merged = before ? mergeVote(before, vote) : vote;
    if (before && isSameVote(before, merged)) continue;
    votes.set(peer, merged);
    fresh.set(peer, merged);
  }
  return { votes, fresh };
}

/** Our record when we begin a ballot above all that were seen. */
export function propose(votes: Votes, self: PeerName): Vote {
  const own = votes.get(self) ?? NO_VOTE;
  const rounds = Array.from(votes.values(), (vote) => Math.max(vote.promised?.round ?? 0, vote.accepted?.ballot.round ?? 0));
  return { ...own, elector: true, wants: true, promised: { round: 1 + Math.max(0, ...rounds), proposer: self } };
}

/** Our record after looking at all others; the same object when there is nothing to change. Only electors call it. */
export function think(votes: Votes, self: PeerName, quorum: number): Vote {
  const own = votes.get(self) ?? NO_VOTE;
  const highest = [...votes.values()].map((vote) => vote.promised).reduce((a, b) => later(a, b, (ballot) => ballot), undefined);
  const promised = later(own.promised, highest, (ballot) => ballot);
  const accepted = accept({ ...own, promised }, votes, self, quorum);
  if (promised === own.promised && accepted === own.accepted) return own;
  return { ...own, promised, accepted };
}

function accept(own: Vote, votes: Votes, self: PeerName, quorum: number): Accepted | undefined {
  const { promised } = own;
  if (!promised || compareBallots(own.accepted?.ballot, promised) === 0) return own.accepted;
  if (promised.proposer !== self) {
    const proposal = [...votes.values()].find((vote) => compareBallots(vote.accepted?.ballot, promised) === 0);
    return proposal?.accepted ?? own.accepted;
  }
  const promisers = [...votes].filter(([peer, vote]) => peer !== self && compareBallots(vote.promised, promised) === 0);
  const voters = [own, ...promisers.map(([, vote]) => vote)];
  if (voters.length < quorum) return own.accepted;
  const before = voters.map((vote) => vote.accepted).reduce((a, b) => later(a, b, (one) => one?.ballot), undefined);
  return { ballot: promised, value: before?.value ?? electorsOf(votes, self) };
}

function electorsOf(votes: Votes, self: PeerName): readonly PeerName[] {
  const electors = [...votes].filter(([, vote]) => vote.elector).map(([peer]) => peer);
  return [...new Set([self, ...electors])].sort((a, b) => a - b);
}

/** The founders, when a quorum has accepted the same ballot. */
export function decided(votes: Votes, quorum: number): readonly PeerName[] | undefined {
  const counts = new Map<string, number>();
  for (const { accepted } of votes.values()) {
    if (!accepted) continue;
    const key = `${accepted.ballot.round} ${accepted.ballot.proposer}`;
    const count = (counts.get(key) ?? 0) + 1;
    if (count >= quorum) return accepted.value;
    counts.set(key, count);
  }
  return undefined;
}
