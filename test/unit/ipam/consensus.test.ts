// SPDX-License-Identifier: Apache-2.0
// A model check of the bootstrap: peers that gossip whole records over a network that loses, delays and repeats, with proposals at any time and
// restarts from disk. In every run of it at most one list of founders is decided, and less than a quorum decides nothing.
import { describe, expect, test } from "bun:test";
import { decided, mergeVotes, NO_VOTE, propose, think, type Votes } from "../../../src/ipam/consensus.ts";
import type { PeerName } from "../../../src/mesh/peer-name.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { peerName } from "../../support/records.ts";

interface Peer {
  readonly name: PeerName;
  votes: Votes;
  /** Its own record as it is on its disk. */
  disk: Votes;
}

function run(seed: number, electors: number, present: number, steps: number): Set<string> {
  const random = seededRandom(seed);
  const quorum = Math.floor(electors / 2) + 1;
  const peers: Peer[] = Array.from({ length: present }, (_, i) => {
    const votes: Votes = new Map([[peerName(i + 1), { ...NO_VOTE, elector: true }]]);
    return { name: peerName(i + 1), votes, disk: votes };
  });
  const flying: { to: Peer; votes: Votes }[] = [];
  const outcomes = new Set<string>();
  const publish = (peer: Peer, votes: Votes): void => {
    peer.votes = votes;
    peer.disk = new Map([[peer.name, votes.get(peer.name) ?? NO_VOTE]]);
    for (const other of peers) if (other !== peer) flying.push({ to: other, votes: random.below(2) ? peer.disk : votes });
    const founders = decided(votes, quorum);
    if (founders) outcomes.add(founders.join());
  };
  for (let step = 0; step < steps; step++) {
    const peer = peers[random.below(peers.length)]!;
    const chance = random.below(100);
    if (chance < 6) publish(peer, new Map(peer.votes).set(peer.name, propose(peer.votes, peer.name)));
    else if (chance < 8)
      peer.votes = peer.disk; // restarted
    else if (flying.length > 0) {
      const at = random.below(flying.length);
      const message = flying[at]!;
      if (random.below(10) > 0) flying.splice(at, 1); // else it comes again
      if (random.below(10) === 0) continue; // lost
      const merged = mergeVotes(message.to.votes, message.votes).votes;
      message.to.votes = merged;
      const vote = think(merged, message.to.name, quorum);
      if (vote !== merged.get(message.to.name)) publish(message.to, new Map(merged).set(message.to.name, vote));
      const founders = decided(message.to.votes, quorum);
      if (founders) outcomes.add(founders.join());
    }
  }
  return outcomes;
}

describe("consensus", () => {
  test("decides at most one list of founders, and often enough one", () => {
    let decisions = 0;
    for (let seed = 1; seed <= 1500; seed++) {
      const outcomes = run(seed, 3 + (seed % 3), 3 + (seed % 3), 400);
      expect({ seed, outcomes: outcomes.size > 1 ? [...outcomes] : "at most one" }).toEqual({ seed, outcomes: "at most one" });
      decisions += outcomes.size;
    }
    expect(decisions).toBeGreaterThan(500);
  });

  test("halves that do not reach a quorum decide nothing", () => {
    for (let seed = 1; seed <= 300; seed++) expect([seed, run(seed, 4, 2, 400).size]).toEqual([seed, 0]);
  });

  test("the check sees a quorum that is too small: with it two lists are decided", () => {
    // Four electors that each think there are two.
    let broken = 0;
    for (let seed = 1; seed <= 300; seed++) broken += Number(run(seed, 2, 4, 400).size > 1);
    expect(broken).toBeGreaterThan(0);
  });

  test("a lone host decides at once", () => {
    const self = peerName(1);
    const votes: Votes = new Map([[self, propose(new Map(), self)]]);
    const vote = think(votes, self, 1);
    expect(decided(new Map([[self, vote]]), 1)).toEqual([self]);
  });
});
