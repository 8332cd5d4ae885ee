// SPDX-License-Identifier: Apache-2.0
// The allocator's gossip channel: rings and votes are merged and passed on, space is given to those who ask for it. What comes from a peer of another
// ring is passed on unread.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Gossip, GossipHandler } from "../mesh/ports.ts";
import type { Log } from "../runtime/log.ts";
import type { Committer } from "./committer.ts";
import type { Votes } from "./consensus.ts";
import type { Founding } from "./founding.ts";
import { decodeIpam, encodeIpam, type IpamMessage } from "./messages.ts";
import { type Segments, sharesOf, within } from "./ring.ts";
import { type RingKeeper, rangeText } from "./ring-keeper.ts";
import type { Space } from "./space.ts";

/** Claims that go with a refusal, so that whoever asked knows better whom to ask. */
const HINTS_MAX = 1024;

export interface ExchangePorts {
  readonly self: PeerName;
  readonly log: Log;
  readonly keeper: RingKeeper;
  readonly space: Space;
  readonly founding: Founding;
  readonly committer: Committer;
  /** Space may be given away. */
  isOpen(): boolean;
  /** Merges claims; returns what was new. */
  take(delta: Segments): Segments;
  /** The ring is known from now on. */
  adopt(founders: readonly PeerName[], segments: Segments, names: ReadonlyMap<PeerName, string>): void;
  /** What is kept over restarts has changed. */
  remember(): void;
  /** Claims for everybody, once they are on disk. */
  tell(segments: Segments): void;
  answered(from: PeerName, message: IpamMessage & { readonly type: "given" | "denied" }): void;
  /** An heir has what it was handed. */
  taken(from: PeerName, token: number): void;
  called(peer: PeerName): string;
  /** Others that can be reached now. */
  peers(): ReadonlyMap<PeerName, unknown>;
  describe(owner: string): string;
}

export class Exchange implements GossipHandler {
  readonly gossip: Gossip;
  readonly #ports: ExchangePorts;
  #packed: { readonly votes: Votes; readonly bytes: Uint8Array } | undefined;

  constructor(ports: ExchangePorts, channel: (handler: GossipHandler) => Gossip) {
    this.#ports = ports;
    this.gossip = channel(this);
  }

  send(peer: PeerName, message: IpamMessage): boolean {
    return this.gossip.unicast(peer, encodeIpam(message));
  }
  broadcast(segments: Segments): void {
    this.gossip.broadcast(this.#ports.keeper.deltaMessage(segments));
  }
  broadcastRing(): void {
    this.gossip.broadcast(this.#ports.keeper.stateMessage(this.#ports.space.segments));
  }
  broadcastVotes(votes: Votes): void {
    this.gossip.broadcast(this.votesMessage(votes));
  }
  votesMessage(votes: Votes): Uint8Array {
    return encodeIpam({ type: "votes", header: this.#ports.keeper.header, votes });
  }
  #broadcastFresh(fresh: Uint8Array | undefined): void {
    if (fresh) this.#ports.committer.afterCommit(() => this.gossip.broadcast(fresh));
  }

  merge(from: PeerName, bytes: Uint8Array): Uint8Array | undefined {
    const message = decodeIpam(bytes);
    if (!message) return bytes; // of a later version: others may know it
    if (message.type !== "state" && message.type !== "votes" && message.type !== "hello") return undefined;
    if (!this.#ports.keeper.isOurs(from, message.header)) return message.type === "hello" ? undefined : bytes;
    switch (message.type) {
      case "hello":
        this.#ports.keeper.greeted(from, message.header);
        return undefined;
      case "votes":
        if (this.#ports.keeper.hasRing && !this.#isSpokesman()) return undefined;
        return this.#mergeVotes(from, message.votes, message.header.ringId !== 0);
      case "state":
        return this.#mergeState(from, message, bytes);
      default:
        return message satisfies never;
    }
  }

  received(from: PeerName, bytes: Uint8Array): void {
    const message = decodeIpam(bytes);
    if (!message) return;
    if (message.type === "taken") {
      this.#ports.taken(from, message.token);
      return;
    }
    if (!this.#ports.keeper.isOurs(from, message.header)) {
      if (message.type !== "hello") this.gossip.unicast(from, this.#ports.keeper.hello());
      return;
    }
    switch (message.type) {
      case "state":
        this.#broadcastFresh(this.#mergeState(from, message, bytes));
        return;
      case "votes":
        this.#broadcastFresh(this.#mergeVotes(from, message.votes, message.header.ringId !== 0));
        return;
      case "ask":
        this.#asked(from, message);
        return;
      case "given":
      case "denied":
        this.#ports.answered(from, message);
        return;
      case "hand":
        this.#ports.tell(this.#ports.take(message.segments));
        this.#ports.committer.afterCommit(() => this.send(from, { type: "taken", token: message.token }));
        return;
      case "hello":
        return;
      default:
        message satisfies never;
    }
  }

  digest(): Uint8Array {
    return this.#ports.keeper.digest(this.#ports.space.segments, this.#allVotes());
  }
  missing(digest: Uint8Array): Uint8Array | undefined {
    if (!this.#ports.committer.flush()) return undefined; // nothing is told that is not on disk
    return this.#ports.keeper.missing(digest, this.#ports.space.segments, this.#allVotes());
  }
  #allVotes(): Uint8Array {
    const { votes } = this.#ports.founding;
    if (this.#packed?.votes !== votes) this.#packed = { votes, bytes: this.votesMessage(votes) };
    return this.#packed.bytes;
  }

  #mergeState(from: PeerName, message: IpamMessage & { type: "state" }, bytes: Uint8Array): Uint8Array | undefined {
    const { header, founders, segments, names } = message;
    if (!this.#ports.keeper.hasRing) {
      if (header.ringId === 0) return undefined;
      if (founders.length > 0) this.#ports.adopt(founders, segments, names);
      else this.send(from, { type: "votes", header: this.#ports.keeper.header, votes: this.#ports.founding.votes }); // it answers with all of it
      return bytes;
    }
    const isNamed = this.#ports.keeper.learnNames(names);
    const fresh = this.#ports.take(segments);
    if (isNamed) this.#ports.remember();
    return fresh.length > 0 ? this.#ports.keeper.deltaMessage(fresh) : undefined;
  }

  #mergeVotes(from: PeerName, votes: Votes, senderHasRing: boolean): Uint8Array | undefined {
    if (this.#ports.keeper.hasRing) {
      if (!senderHasRing) this.gossip.unicast(from, this.#ports.keeper.stateMessage(this.#ports.space.segments));
      return undefined;
    }
    const fresh = this.#ports.founding.merge(votes);
    return fresh.size > 0 ? this.votesMessage(fresh) : undefined;
  }

  /** One of us tells those who have no ring yet, not all at once. */
  #isSpokesman(): boolean {
    const { self, space } = this.#ports;
    const reachable = this.#ports.peers();
    return [...sharesOf(space.segments).keys()].every((owner) => owner >= self || !reachable.has(owner));
  }

  /** Somebody asks for space. */
  #asked(from: PeerName, { token, range, urgent, exact }: IpamMessage & { type: "ask" }): void {
    const { header } = this.#ports.keeper;
    if (!this.#ports.keeper.hasRing || !this.#ports.isOpen()) return;
    const given = this.#ports.space.donate(range, from, urgent);
    if (given) {
      this.#ports.log.debug("space given", { peer: this.#ports.called(from), range: rangeText(given[0] ?? range) });
      this.#ports.remember();
      this.#ports.committer.afterCommit(() => {
        this.send(from, { type: "given", token, header, segments: given });
        this.broadcast(given);
      });
      return;
    }
    const holder = exact ? this.#ports.space.leaseAt(range.start) : undefined;
    const owned = within(this.#ports.space.segments, range);
    const isOurs = owned.some((segment) => segment.owner === this.#ports.self);
    const why = holder ? "held" : isOurs ? "full" : "not-mine";
    const words = holder ? this.#ports.describe(holder.owner) : "";
    this.send(from, { type: "denied", token, why, words, header, segments: owned.slice(0, HINTS_MAX) });
  }
}
