// SPDX-License-Identifier: Apache-2.0
// The ring as it is gossiped: whose it is, what a digest of it is, what somebody with another digest lacks, and which peers keep another one. A peer
// of another range or with another ring is reported and otherwise left alone: its messages are passed on unread. A peer with other IPv6 twins is reported
// too, but shares the ring, because that is of IPv4 addresses: twins may be switched on host by host.
import { hashBytes, hashText } from "../mesh/mix.ts";
import { formatPeerName, type PeerName } from "../mesh/peer-name.ts";
import type { Clock, Instant } from "../runtime/clock.ts";
import { decodeDigest, encodeDigest, encodeIpam, type Header } from "./messages.ts";
import { type Range, sizeOf, toIp } from "./range.ts";
import { mergeSegments, type Segments, within } from "./ring.ts";

const PARTS = 16;
/** A peer with another ring says so every half minute at least, as long as it is our neighbour. */
const STRANGER_MS = 5 * 60_000;
const STRANGERS_MAX = 256;

export interface Stranger {
  readonly why: string;
  readonly at: Instant;
}

export class RingKeeper {
  readonly range: Range;
  readonly #range6: string | undefined;
  readonly #clock: Clock;
  #founders: readonly PeerName[] = [];
  #ringId = 0;
  /** Nicknames of owners, so that they can be named when they are dead. */
  #names: ReadonlyMap<PeerName, string> = new Map();
  #hashed: { readonly segments: Segments | undefined; readonly hashes: readonly number[] } = { segments: undefined, hashes: [] };
  readonly #strangers = new Map<PeerName, Stranger>();
  readonly #otherTwins = new Map<PeerName, Stranger>();

  /** `range6`: where the IPv6 twins are, see `twinPrefix`; undefined: there are none. */
  constructor(range: Range, range6: string | undefined, clock: Clock) {
    this.range = range;
    this.#range6 = range6;
    this.#clock = clock;
  }

  get header(): Header {
    return { range: this.range, ringId: this.#ringId, range6: this.#range6 };
  }
  get hasRing(): boolean {
    return this.#ringId !== 0;
  }
  get founders(): readonly PeerName[] {
    return this.#founders;
  }
  get names(): ReadonlyMap<PeerName, string> {
    return this.#names;
  }

  begin(founders: readonly PeerName[]): void {
    this.#founders = [...new Set(founders)].sort((a, b) => a - b);
    this.#ringId = idOf(this.#founders);
  }

  /** Of two nicknames for one peer the larger stays. True: something was new. */
  learnNames(names: ReadonlyMap<PeerName, string>): boolean {
    const news = [...names].filter(([peer, nickname]) => nickname > (this.#names.get(peer) ?? ""));
    if (news.length === 0) return false;
    this.#names = new Map([...this.#names, ...news]);
    return true;
  }
  /** Forgets those who own nothing any more. */
  keepNames(owners: ReadonlySet<PeerName>): void {
    if ([...this.#names.keys()].some((peer) => !owners.has(peer)))
      this.#names = new Map([...this.#names].filter(([peer]) => owners.has(peer)));
  }

  /** Whether a message is about our ring, or may become so; a stranger is remembered. */
  isOurs(from: PeerName, header: Header): boolean {
    const why = this.#difference(header);
    if (why !== undefined) {
      this.#note(this.#strangers, from, why);
      return false;
    }
    if (header.ringId !== 0) this.#strangers.delete(from);
    if (this.#differenceOfTwins(header) === undefined) this.#otherTwins.delete(from);
    return true;
  }
  /** A neighbour introduces itself. Other messages may have another's header, because what is new in them is packed anew on the way. */
  greeted(from: PeerName, header: Header): void {
    const why = this.#differenceOfTwins(header);
    if (why !== undefined) this.#note(this.#otherTwins, from, why);
  }

  #note(noted: Map<PeerName, Stranger>, from: PeerName, why: string): void {
    if (noted.has(from) || noted.size < STRANGERS_MAX) noted.set(from, { why, at: this.#clock.now() });
  }

  #differenceOfTwins({ range6 }: Header): string | undefined {
    if (range6 === this.#range6) return undefined;
    return `its IPv6 addresses are ${range6 ? `in ${range6}` : "none"}, this host's ${this.#range6 ? `in ${this.#range6}` : "none"}`;
  }

  #difference({ range, ringId }: Header): string | undefined {
    if (range.start !== this.range.start || range.end !== this.range.end) {
      return `it allocates from ${rangeText(range)}, this host from ${rangeText(this.range)}`;
    }
    if (ringId === 0 || this.#ringId === 0 || ringId === this.#ringId) return undefined;
    return "its addresses were first shared out among other peers than this host's";
  }

  strangers(): ReadonlyMap<PeerName, Stranger> {
    return this.#recent(this.#strangers);
  }
  /** Peers that share the ring, but not the IPv6 range. */
  otherTwins(): ReadonlyMap<PeerName, Stranger> {
    return this.#recent(this.#otherTwins);
  }
  #recent(noted: Map<PeerName, Stranger>): ReadonlyMap<PeerName, Stranger> {
    const before = this.#clock.now() - STRANGER_MS;
    for (const [peer, { at }] of noted) if (at < before) noted.delete(peer);
    return noted;
  }

  digest(segments: Segments, votes: Uint8Array): Uint8Array {
    const parts = this.hasRing ? this.#hashes(segments) : [hashBytes(votes)];
    return encodeDigest({ header: this.header, parts });
  }

  /** What somebody with that digest lacks; undefined: nothing that we could tell. @throws {ProtocolError} */
  missing(digest: Uint8Array, segments: Segments, votes: Uint8Array): Uint8Array | undefined {
    if (digest.length === 0) return this.hasRing ? this.stateMessage(segments) : votes;
    const theirs = decodeDigest(digest);
    if (this.#difference(theirs.header) !== undefined) return this.hello();
    if (!this.hasRing) return theirs.header.ringId === 0 && theirs.parts[0] !== hashBytes(votes) ? votes : undefined;
    if (theirs.header.ringId === 0) return this.stateMessage(segments);
    const ours = this.#hashes(segments);
    const lacking = ours.flatMap((hash, part) => (hash === theirs.parts[part] ? [] : within(segments, this.#part(part))));
    if (lacking.length > 0) return this.stateMessage(mergeSegments(lacking, []).segments); // joins what a part's end has cut
    return this.#differenceOfTwins(theirs.header) === undefined ? undefined : this.hello();
  }

  hello(): Uint8Array {
    return encodeIpam({ type: "hello", header: this.header, founders: this.#founders });
  }

  /** These claims, with what a newcomer has to know beside them. */
  stateMessage(segments: Segments): Uint8Array {
    return encodeIpam({ type: "state", header: this.header, founders: this.#founders, segments, names: this.#names });
  }
  /** News for those who have the ring. */
  deltaMessage(segments: Segments): Uint8Array {
    return encodeIpam({ type: "state", header: this.header, founders: [], segments, names: new Map() });
  }

  #part(index: number): Range {
    const at = (part: number): number => this.range.start + Math.floor((sizeOf(this.range) * part) / PARTS);
    return { start: at(index), end: at(index + 1) };
  }

  #hashes(segments: Segments): readonly number[] {
    if (this.#hashed.segments === segments) return this.#hashed.hashes;
    const hashes = Array.from({ length: PARTS }, (_, part) => {
      const texts = within(segments, this.#part(part)).map(
        ({ start, end, owner, version, live }) => `${start} ${end} ${owner} ${version} ${live}`,
      );
      return hashText(texts.join());
    });
    this.#hashed = { segments, hashes };
    return hashes;
  }
}

function idOf(founders: readonly PeerName[]): number {
  return hashText(founders.map(formatPeerName).join()) || 1;
}

export function rangeText(range: Range): string {
  return `${toIp(range.start)}-${toIp(range.end - 1)}`;
}
