// SPDX-License-Identifier: Apache-2.0
// Who owns which addresses, as a CRDT. Every single address has one claim (version, live, owner), claims have a total order, and merging takes
// the larger one address by address. So a merge always succeeds, in any order, however often; runs of equal claims are stored as one
// segment. Owners write with a higher version: to give space away, to take a dead peer's, to defend an address that is in use.
import type { PeerName } from "../mesh/peer-name.ts";
import { intersect, type Range, sizeOf } from "./range.ts";

export interface Claim {
  readonly owner: PeerName;
  /** 1 when the ring is made; whoever changes the claim adds one. */
  readonly version: number;
  /** The owner insists: a container has this address. Wins against claims of the same version that do not. */
  readonly live: boolean;
}
export interface Segment extends Range, Claim {}

/** Sorted, without overlaps; neighbours differ or have a gap between them. A whole ring has no gaps, a delta may. */
export type Segments = readonly Segment[];

export const VERSION_MAX = 2 ** 47;

/** Negative: `b` wins. The order is total: 0 only for equal claims. */
export function compareClaims(a: Claim, b: Claim): number {
  return a.version - b.version || Number(a.live) - Number(b.live) || b.owner - a.owner;
}

function isSame(a: Claim, b: Claim): boolean {
  return a.owner === b.owner && a.version === b.version && a.live === b.live;
}

/** Collects segments in order and joins those that touch and are equal. */
class Joiner {
  readonly segments: Segment[] = [];
  add({ start, end }: Range, { owner, version, live }: Claim): void {
    if (start >= end) return;
    const last = this.segments[this.segments.length - 1];
    if (last && last.end === start && isSame(last, { owner, version, live })) {
      this.segments[this.segments.length - 1] = { ...last, end };
    } else this.segments.push({ start, end, owner, version, live });
  }
}

export interface Merged {
  readonly segments: Segments;
  /** What of theirs won, to be passed on; empty: nothing was new. */
  readonly fresh: Segments;
}

/** The larger claim for each address; `fresh` is where that is theirs and not also ours. */
export function mergeSegments(ours: Segments, theirs: Segments): Merged {
  const all = new Joiner();
  const fresh = new Joiner();
  for (const { start, end, ours: mine, theirs: other } of overlay(ours, theirs)) {
    const piece = { start, end };
    if (other && (!mine || compareClaims(mine, other) < 0)) {
      all.add(piece, other);
      fresh.add(piece, other);
    } else if (mine) all.add(piece, mine);
  }
  return { segments: all.segments, fresh: fresh.segments };
}

interface Piece extends Range {
  readonly ours: Segment | undefined;
  readonly theirs: Segment | undefined;
}

/** Walks both lists at once, cut at every boundary of either. */
export function* overlay(ours: Segments, theirs: Segments): Generator<Piece> {
  let i = 0;
  let j = 0;
  let at = 0;
  for (;;) {
    while (i < ours.length && ours[i]!.end <= at) i++;
    while (j < theirs.length && theirs[j]!.end <= at) j++;
    const a = ours[i];
    const b = theirs[j];
    if (!a && !b) return;
    at = Math.max(at, Math.min(a?.start ?? Number.POSITIVE_INFINITY, b?.start ?? Number.POSITIVE_INFINITY));
    const inA = a && a.start <= at ? a : undefined;
    const inB = b && b.start <= at ? b : undefined;
    const end = Math.min(
      inA ? inA.end : (a?.start ?? Number.POSITIVE_INFINITY),
      inB ? inB.end : (b?.start ?? Number.POSITIVE_INFINITY),
    );
    yield { start: at, end, ours: inA, theirs: inB };
    at = end;
  }
}

/** The parts of `segments` that lie in `range`. */
export function within(segments: Segments, range: Range): Segments {
  const found: Segment[] = [];
  if (sizeOf(range) === 0) return found;
  for (let i = firstEndingAfter(segments, range.start); i < segments.length && segments[i]!.start < range.end; i++) {
    const segment = segments[i]!;
    found.push({ ...segment, ...intersect(segment, range) });
  }
  return found;
}

/** The claim for one address; undefined in a gap. */
export function claimAt(segments: Segments, address: number): Segment | undefined {
  const segment = segments[firstEndingAfter(segments, address)];
  return segment && segment.start <= address ? segment : undefined;
}

function firstEndingAfter(segments: Segments, address: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle]!.end <= address) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The delta by which `range` goes to `owner`: one claim that is larger than all that are there now. */
export function assign(segments: Segments, range: Range, owner: PeerName, live = false): Segments {
  const version = 1 + within(segments, range).reduce((most, segment) => Math.max(most, segment.version), 0);
  return [{ ...range, owner, version, live }];
}

/** The delta by which everything of `from` goes to `to`, and how many addresses that are. */
export function assignAll(segments: Segments, from: PeerName, to: PeerName): { readonly delta: Segments; readonly size: number } {
  const delta = new Joiner();
  let size = 0;
  for (const segment of segments) {
    if (segment.owner !== from) continue;
    delta.add(segment, { owner: to, version: segment.version + 1, live: false });
    size += sizeOf(segment);
  }
  return { delta: delta.segments, size };
}

/** Gives runs of one owner that touch each other the same claim, so that they become one segment; empty: there is nothing to join.
 *  Only the owner may do that. */
export function coalesce(segments: Segments, owner: PeerName): Segments {
  const delta: Segment[] = [];
  let run: Segment[] = [];
  const close = (): void => {
    const [first] = run;
    if (first && run.length > 1) {
      const version = 1 + Math.max(...run.map((segment) => segment.version));
      delta.push({ start: first.start, end: run.at(-1)!.end, owner, version, live: false });
    }
    run = [];
  };
  for (const segment of segments) {
    if (segment.owner !== owner || segment.live || run.at(-1)?.end !== segment.start) close();
    if (segment.owner === owner && !segment.live) run.push(segment);
  }
  close();
  return delta;
}

/** The ring as the peers that founded it make it, each for itself: shares of (nearly) equal size in the order of their names. */
export function foundRing(range: Range, founders: readonly PeerName[]): Segments {
  const names = [...new Set(founders)].sort((a, b) => a - b);
  const ring = new Joiner();
  for (const [index, owner] of names.entries()) {
    const start = range.start + Math.floor((sizeOf(range) * index) / names.length);
    const end = range.start + Math.floor((sizeOf(range) * (index + 1)) / names.length);
    ring.add({ start, end }, { owner, version: 1, live: false });
  }
  return ring.segments;
}

/** Owner -> number of addresses. */
export function sharesOf(segments: Segments): Map<PeerName, number> {
  const shares = new Map<PeerName, number>();
  for (const segment of segments) shares.set(segment.owner, (shares.get(segment.owner) ?? 0) + sizeOf(segment));
  return shares;
}

/** What is wrong with a list of segments inside `range`; undefined: nothing. `whole`: it must not have gaps. */
export function checkSegments(segments: Segments, range: Range, whole: boolean): string | undefined {
  let at = range.start;
  for (const [index, segment] of segments.entries()) {
    const before = segments[index - 1];
    if (segment.start >= segment.end) return `segment ${segment.start} is empty`;
    if (segment.start < at) return `segment ${segment.start} overlaps with the one before or the range`;
    if (whole && segment.start !== at) return `nobody owns ${at}`;
    if (before?.end === segment.start && isSame(before, segment)) return `segments before and after ${segment.start} are equal`;
    at = segment.end;
  }
  if (at > range.end) return `segments go beyond ${range.end}`;
  return whole && at !== range.end ? `nobody owns ${at}` : undefined;
}
