// SPDX-License-Identifier: Apache-2.0
// What of ring and votes is kept over restarts, as bytes: `[peer, state message or nil, votes message or nil]`, see messages.ts.
import { pack, unpack } from "../mesh/codec.ts";
import { readBytes, readList, readName } from "../mesh/fields.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Vote } from "./consensus.ts";
import { decodeIpam, encodeIpam, type Header } from "./messages.ts";
import type { Range } from "./range.ts";
import type { Segments } from "./ring.ts";
import { rangeText } from "./ring-keeper.ts";

export interface Memory {
  /** Whose it is: another name's is worth nothing. */
  readonly self: PeerName;
  readonly header: Header;
  readonly founders: readonly PeerName[];
  /** Empty: there is no ring yet. */
  readonly segments: Segments;
  readonly names: ReadonlyMap<PeerName, string>;
  readonly vote: Vote;
}

export function encodeMemory(memory: Memory): Uint8Array {
  const { self, header, founders, segments, names, vote } = memory;
  const votes = encodeIpam({ type: "votes", header, votes: new Map([[self, vote]]) });
  return pack([self, encodeIpam({ type: "state", header, founders, segments, names }), votes]);
}

/** undefined: of a version we do not know. @throws {ProtocolError} damaged */
export function decodeMemory(bytes: Uint8Array): Memory | undefined {
  const [name, stateBytes, voteBytes] = readList(unpack(bytes), 8, "stored ring");
  const self = readName(name);
  const state = decodeIpam(readBytes(stateBytes, "stored ring"));
  const votes = decodeIpam(readBytes(voteBytes, "stored vote"));
  const vote = votes?.type === "votes" ? votes.votes.get(self) : undefined;
  if (state?.type !== "state" || !vote) return undefined;
  const { header, founders, segments, names } = state;
  return { self, header, founders, segments, names, vote };
}

/** What of it this host can go on with; undefined: nothing, the ring is learnt from others or made anew. */
export function recall(bytes: Uint8Array | undefined, self: PeerName, range: Range, log: Log): Memory | undefined {
  if (!bytes) return undefined;
  try {
    const memory = decodeMemory(bytes);
    if (memory?.self !== self) return undefined;
    const stored = memory.header.range;
    if (stored.start === range.start && stored.end === range.end) return memory;
    log.warn("the stored ring is of another range and not used", { range: rangeText(stored) });
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    log.warn("the stored ring is not readable; it is learnt from others", { reason: errorText(thrown) });
    return undefined;
  }
}
