// SPDX-License-Identifier: Apache-2.0
// What peers say about addresses, on a gossip channel of its own; MessagePack arrays that begin with a number. Numbers are append-only, unknown
// ones and surplus fields are skipped. Decoders are total: counts are bounded, ranges checked, names printable.
//   header  [range start, range end, ring id or 0, IPv6 range]             the last only when there are twins
//   segment [start, end, owner, version, live]
//   vote    [peer, round or 0, proposer, accepted round or 0, proposer, founders, elector, wants]
//   1 state   [1, header, founders, segments, names [[peer, nickname]]]    segments of the ring; founders only with the whole ring
//   2 votes   [2, header, votes]
//   3 hello   [3, header, founders]                                        another range or ring is kept here
//   4 ask     [4, token, header, start, end, urgent, exact]                space wanted
//   5 given   [5, token, header, segments]                                 yours now
//   6 denied  [6, token, why, words, header, segments]                     why: 0 full, 1 not mine, 2 held; segments: who owns it instead
//   7 hand    [7, token, header, segments]                                 I leave; this is yours
//   8 taken   [8, token]
// digest     [header, hash of each of 16 parts or of the votes]
import { pack, unpack } from "../mesh/codec.ts";
import { PEERS_MAX, readBoolean, readInteger, readList, readName, readWords } from "../mesh/fields.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import { ProtocolError } from "../runtime/errors.ts";
import type { Accepted, Ballot, Vote, Votes } from "./consensus.ts";
import { ROUND_MAX } from "./consensus.ts";
import type { Range } from "./range.ts";
import { checkSegments, type Segment, type Segments, VERSION_MAX } from "./ring.ts";

export const IPAM_CHANNEL = "ipam";
export const SEGMENTS_MAX = 65_536;
const UINT32_MAX = 2 ** 32 - 1;
const WORDS_MAX = 256;
const RANGE6_MAX = 64;
const PARTS_MAX = 64;

/** Which network's addresses a message is about. */
export interface Header {
  readonly range: Range;
  /** Hash of the founders; 0: the sender has no ring. */
  readonly ringId: number;
  /** Where the sender's IPv6 twins are, as text; undefined: it has none. Compared only. */
  readonly range6?: string | undefined;
}
export type Denial = "full" | "not-mine" | "held";
const DENIALS: readonly Denial[] = ["full", "not-mine", "held"];

export type IpamMessage =
  | {
      readonly type: "state";
      readonly header: Header;
      readonly founders: readonly PeerName[];
      readonly segments: Segments;
      readonly names: ReadonlyMap<PeerName, string>;
    }
  | { readonly type: "votes"; readonly header: Header; readonly votes: Votes }
  | { readonly type: "hello"; readonly header: Header; readonly founders: readonly PeerName[] }
  | {
      readonly type: "ask";
      readonly token: number;
      readonly header: Header;
      readonly range: Range;
      /** Addresses in quarantine will do. */
      readonly urgent: boolean;
      /** This one address, and if it is in use, by whom. */
      readonly exact: boolean;
    }
  | { readonly type: "given"; readonly token: number; readonly header: Header; readonly segments: Segments }
  | {
      readonly type: "denied";
      readonly token: number;
      readonly why: Denial;
      readonly words: string;
      readonly header: Header;
      readonly segments: Segments;
    }
  | { readonly type: "hand"; readonly token: number; readonly header: Header; readonly segments: Segments }
  | { readonly type: "taken"; readonly token: number };

export interface Digest {
  readonly header: Header;
  readonly parts: readonly number[];
}

const packHeader = ({ range, ringId, range6 }: Header): unknown[] =>
  range6 === undefined ? [range.start, range.end, ringId] : [range.start, range.end, ringId, range6];
const packSegments = (segments: Segments): unknown[] =>
  segments.map(({ start, end, owner, version, live }) => [start, end, owner, version, live]);
const packBallot = (ballot: Ballot | undefined): unknown[] => (ballot ? [ballot.round, ballot.proposer] : [0, 0]);
/** In the order of names, so that equal votes are equal bytes. */
const packVotes = (votes: Votes): unknown[] =>
  [...votes]
    .sort(([a], [b]) => a - b)
    .map(([peer, { promised, accepted, elector, wants }]) => [
      peer,
      ...packBallot(promised),
      ...packBallot(accepted?.ballot),
      accepted?.value ?? [],
      elector,
      wants,
    ]);

export function encodeIpam(message: IpamMessage): Uint8Array {
  return pack(fieldsOf(message));
}

function fieldsOf(message: IpamMessage): unknown[] {
  switch (message.type) {
    case "state":
      return [1, packHeader(message.header), message.founders, packSegments(message.segments), [...message.names]];
    case "votes":
      return [2, packHeader(message.header), packVotes(message.votes)];
    case "hello":
      return [3, packHeader(message.header), message.founders];
    case "ask":
      return [
        4,
        message.token,
        packHeader(message.header),
        message.range.start,
        message.range.end,
        message.urgent,
        message.exact,
      ];
    case "given":
      return [5, message.token, packHeader(message.header), packSegments(message.segments)];
    case "denied": {
      const { token, why, words, header, segments } = message;
      return [6, token, DENIALS.indexOf(why), words.slice(0, WORDS_MAX), packHeader(header), packSegments(segments)];
    }
    case "hand":
      return [7, message.token, packHeader(message.header), packSegments(message.segments)];
    case "taken":
      return [8, message.token];
    default:
      return message satisfies never;
  }
}

/** undefined: of a later version. @throws {ProtocolError} */
export function decodeIpam(bytes: Uint8Array): IpamMessage | undefined {
  const [kind, first, ...rest] = readList(unpack(bytes), 32, "ipam message");
  const [second, third, fourth, fifth, sixth] = rest;
  switch (readInteger(kind, 0xffff, "ipam message number")) {
    case 1: {
      const header = readHeader(first);
      const segments = readSegments(third, header.range);
      return { type: "state", header, founders: readPeers(second), segments, names: readNames(fourth) };
    }
    case 2:
      return { type: "votes", header: readHeader(first), votes: readVotes(second) };
    case 3:
      return { type: "hello", header: readHeader(first), founders: readPeers(second) };
    case 4: {
      const range = readRange(third, fourth);
      const [urgent, exact] = [readBoolean(fifth, "request"), readBoolean(sixth, "request")];
      return { type: "ask", token: readToken(first), header: readHeader(second), range, urgent, exact };
    }
    case 5: {
      const header = readHeader(second);
      return { type: "given", token: readToken(first), header, segments: readSegments(third, header.range) };
    }
    case 6: {
      const header = readHeader(fourth);
      const why = DENIALS[readInteger(second, DENIALS.length - 1, "refusal")] ?? "full";
      const segments = readSegments(fifth, header.range);
      return { type: "denied", token: readToken(first), why, words: readWords(third, "refusal", WORDS_MAX), header, segments };
    }
    case 7: {
      const header = readHeader(second);
      return { type: "hand", token: readToken(first), header, segments: readSegments(third, header.range) };
    }
    case 8:
      return { type: "taken", token: readToken(first) };
    default:
      return undefined;
  }
}

export function encodeDigest({ header, parts }: Digest): Uint8Array {
  return pack([packHeader(header), parts]);
}

/** @throws {ProtocolError} */
export function decodeDigest(bytes: Uint8Array): Digest {
  const [header, parts] = readList(unpack(bytes), 8, "ipam digest");
  return {
    header: readHeader(header),
    parts: readList(parts, PARTS_MAX, "digest").map((part) => readInteger(part, UINT32_MAX, "hash")),
  };
}

function readToken(value: unknown): number {
  return readInteger(value, UINT32_MAX, "token");
}

function readRange(from: unknown, to: unknown): Range {
  const start = readInteger(from, UINT32_MAX, "address");
  const end = readInteger(to, 2 ** 32, "address");
  if (start >= end) throw new ProtocolError("unreadable range of addresses");
  return { start, end };
}

function readHeader(value: unknown): Header {
  const [start, end, id, range6] = readList(value, 8, "ipam header");
  return {
    range: readRange(start, end),
    ringId: readInteger(id, UINT32_MAX, "ring id"),
    range6: range6 === undefined ? undefined : readWords(range6, "IPv6 range", RANGE6_MAX),
  };
}

function readPeers(value: unknown): PeerName[] {
  return readList(value, PEERS_MAX, "founders").map(readName);
}

function readSegments(value: unknown, range: Range): Segments {
  const segments = readList(value, SEGMENTS_MAX, "segments").map((entry): Segment => {
    const [start, end, owner, version, live] = readList(entry, 16, "segment");
    return {
      ...readRange(start, end),
      owner: readName(owner),
      version: readInteger(version, VERSION_MAX, "version"),
      live: readBoolean(live, "segment"),
    };
  });
  const wrong = checkSegments(segments, range, false);
  if (wrong !== undefined) throw new ProtocolError(`unreadable ring: ${wrong}`);
  return segments;
}

function readNames(value: unknown): Map<PeerName, string> {
  const pairs = readList(value, PEERS_MAX, "nicknames").map((entry) => {
    const [peer, nickname] = readList(entry, 8, "nickname");
    return [readName(peer), readWords(nickname, "nickname", 64)] as const;
  });
  return new Map(pairs);
}

function readBallot(round: unknown, proposer: unknown): Ballot | undefined {
  const number = readInteger(round, ROUND_MAX, "round");
  return number === 0 ? undefined : { round: number, proposer: readName(proposer) };
}

function readVotes(value: unknown): Votes {
  const votes = new Map<PeerName, Vote>();
  for (const entry of readList(value, PEERS_MAX, "votes")) {
    const [peer, round, proposer, acceptedRound, acceptedProposer, founders, elector, wants] = readList(entry, 16, "vote");
    const ballot = readBallot(acceptedRound, acceptedProposer);
    const value = readPeers(founders);
    if (ballot && value.length === 0) throw new ProtocolError("unreadable vote: no founders");
    const accepted: Accepted | undefined = ballot && { ballot, value };
    votes.set(readName(peer), {
      promised: readBallot(round, proposer),
      accepted,
      elector: readBoolean(elector, "vote"),
      wants: readBoolean(wants, "vote"),
    });
  }
  return votes;
}
