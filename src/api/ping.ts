// SPDX-License-Identifier: Apache-2.0
// What `weave ping` is told: the ways to one peer, each measured while it waited.
import type { API_VERSION, DataPathStatus } from "./status.ts";

/** Rounds of probes in one request. */
export const PING_COUNT_MAX = 100;
/** Bytes of one probe, as of an IP packet; what fits between two hosts is less. */
export const PING_SIZE_MAX = 65_000;

export interface PingRequest {
  /** Peer name, nickname, or address of a connection. */
  readonly peer: string;
  readonly count: number;
  /** Of each probe, as long as a container's packet of so many bytes; undefined: as short as can be. */
  readonly sizeBytes: number | undefined;
}
export interface PingResponse {
  readonly apiVersion: typeof API_VERSION;
  readonly peer: PeerWords;
  /** A probe of its data path came back; of a peer further away: its daemon answered, and frames have a route to it. */
  readonly answered: boolean;
  /** Of each probe, when it was asked for. */
  readonly sizeBytes: number | null;
  /** To a neighbour, best first; empty for others. */
  readonly paths: readonly PingPath[];
  /** The way of frames, as far as the peers on it tell. */
  readonly route: readonly PingHop[];
  /** Why the route ends before the peer; empty when it does not. */
  readonly routeEnd: string;
  /** Between the daemons, over their control connections; may take another way than frames. */
  readonly control: PingSeries;
}
export interface PeerWords {
  readonly name: string;
  readonly nickname: string;
}
export interface PingSeries {
  readonly sent: number;
  readonly received: number;
  /** Share of probes without an answer, 0..1. */
  readonly loss: number;
  readonly rttMs: { readonly min: number; readonly avg: number; readonly max: number } | null;
}
export interface PingPath extends Omit<DataPathStatus["alternatives"][number], "rttMs"> {
  readonly inUse: boolean;
  /** null: it could not be probed. */
  readonly probes: PingSeries | null;
}
export interface PingHop {
  readonly from: PeerWords;
  readonly to: PeerWords;
  readonly transport: DataPathStatus["transport"];
  readonly encrypted: boolean;
  readonly mtuBytes: number | null;
  /** As the peer measured it before. */
  readonly rttMs: number | null;
}
