// SPDX-License-Identifier: Apache-2.0
// The allocator as plain values for the faces: made anew on each call, sorted.
import { formatPeerName, type PeerName } from "../mesh/peer-name.ts";
import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Founding } from "./founding.ts";
import { includes, type Range, rangeOf, sizeOf, toIp } from "./range.ts";
import { sharesOf } from "./ring.ts";
import type { RingKeeper } from "./ring-keeper.ts";
import type { Seeker } from "./seeker.ts";
import type { Space } from "./space.ts";
import type { Wish } from "./waiting.ts";

export interface ShareView {
  readonly peer: PeerName;
  readonly nickname: string;
  readonly addresses: number;
  readonly reachable: boolean;
}
export interface RingEntry {
  readonly start: Ip;
  readonly addresses: number;
  readonly peer: PeerName;
  readonly version: number;
}
export interface IpamView {
  readonly range: Cidr;
  readonly rangeSize: number;
  /** As the first line of `status` says it. */
  readonly status: string;
  readonly active: number;
  /** Ours first. Empty: there is no ring. */
  readonly shares: readonly ShareView[];
  readonly entries: readonly RingEntry[];
  readonly consensus: { readonly elector: boolean; readonly known: number; readonly quorum: number } | undefined;
  readonly pendingAllocates: readonly string[];
  readonly pendingClaims: readonly string[];
  /** Peers that have space where some is wanted and have not answered yet. */
  readonly waitingFor: readonly { readonly peer: PeerName; readonly nickname: string }[];
  /** In use here and, as it seems, elsewhere. */
  readonly conflicts: readonly { readonly address: Ip; readonly owner: string; readonly peer: PeerName }[];
  /** Peers that allocate from another range or ring. */
  readonly strangers: readonly { readonly peer: PeerName; readonly why: string }[];
  /** Peers that were away for longer than the limit, where nobody can tell whether they are dead or cut off. */
  readonly undecided: readonly { readonly peer: PeerName; readonly nickname: string }[];
  /** Peers that share the ring and have another IPv6 range. */
  readonly otherTwins: readonly { readonly peer: PeerName; readonly why: string }[];
}

export interface ViewSources {
  readonly self: PeerName;
  readonly range: Cidr;
  readonly keeper: RingKeeper;
  readonly space: Space;
  readonly founding: Founding;
  readonly wishes: readonly Wish[];
  readonly seeker: Seeker;
  readonly undecided: readonly PeerName[];
  /** Those that can be reached, ourselves included. */
  readonly peers: ReadonlyMap<PeerName, string>;
}

export function viewOf(sources: ViewSources): IpamView {
  const { range, keeper, space, founding, wishes } = sources;
  const shares = sharesOfAll(sources);
  const all = rangeOf(range);
  return {
    range,
    rangeSize: sizeOf(all),
    status: statusWords(sources, shares),
    active: activeIn(space, all),
    shares,
    entries: space.segments.map((one) => ({
      start: toIp(one.start),
      addresses: sizeOf(one),
      peer: one.owner,
      version: one.version,
    })),
    consensus: keeper.hasRing ? undefined : { elector: founding.isElector, known: founding.known, quorum: founding.quorum },
    pendingAllocates: wishes.filter((wish) => wish.kind === "allocate").map((wish) => wish.what),
    pendingClaims: wishes.filter((wish) => wish.kind === "claim").map((wish) => wish.what),
    waitingFor: silentPeers(sources),
    conflicts: Array.from(space.conflicts, ([address, peer]) => ({
      address: toIp(address),
      owner: space.leaseAt(address)?.owner ?? "",
      peer,
    })),
    strangers: Array.from(keeper.strangers(), ([peer, { why }]) => ({ peer, why })),
    undecided: named(sources.undecided, sources),
    otherTwins: Array.from(keeper.otherTwins(), ([peer, { why }]) => ({ peer, why })),
  };
}

function silentPeers({ wishes, seeker, peers, keeper }: ViewSources): IpamView["waitingFor"] {
  const silent = new Set(wishes.flatMap(({ range }) => (range ? seeker.waitingFor(range) : [])));
  return named(silent, { peers, keeper });
}

function named(
  which: Iterable<PeerName>,
  { peers, keeper }: Pick<ViewSources, "peers" | "keeper">,
): { readonly peer: PeerName; readonly nickname: string }[] {
  return Array.from(which, (peer) => ({ peer, nickname: peers.get(peer) ?? keeper.names.get(peer) ?? "" }));
}

function activeIn(space: Space, range: Range): number {
  let active = 0;
  for (const { address } of space.leases()) if (includes(range, address)) active++;
  return active;
}

function sharesOfAll({ self, keeper, space, peers }: ViewSources): ShareView[] {
  const found = Array.from(sharesOf(space.segments), ([peer, addresses]) => ({
    peer,
    nickname: peers.get(peer) ?? keeper.names.get(peer) ?? "",
    addresses,
    reachable: peers.has(peer),
  }));
  return found.sort((a, b) => Number(b.peer === self) - Number(a.peer === self) || compare(a.peer, b.peer));
}

function compare(a: PeerName, b: PeerName): number {
  return formatPeerName(a) < formatPeerName(b) ? -1 : 1;
}

function statusWords({ keeper, founding, wishes }: ViewSources, shares: readonly ShareView[]): string {
  if (keeper.hasRing) {
    if (shares.every((share) => !share.reachable))
      return "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead";
    return wishes.some((wish) => wish.range) ? "waiting for IP(s) to become available" : "ready";
  }
  if (!founding.isWanted) return "idle";
  if (!founding.isElector) return "priming";
  return `awaiting consensus (quorum: ${founding.quorum}, known: ${founding.known})`;
}
