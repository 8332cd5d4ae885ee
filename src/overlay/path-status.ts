// SPDX-License-Identifier: Apache-2.0
// How frames reach a neighbour, as the faces show it.

export interface PathStatus {
  readonly transport: "fastdp" | "sleeve" | "none";
  readonly encrypted: boolean;
  /** Largest inner IP packet that needs no pieces. */
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
  /** Share of recent probes without an answer, 0..1. */
  readonly loss: number;
  /** Why it is not the best one; empty when it is. */
  readonly reason: string;
  /** Wall-clock ms since when this transport is in use. */
  readonly sinceMs: number;
  /** Every transport that is possible at all, best first. */
  readonly alternatives: readonly AlternativeStatus[];
}

export interface AlternativeStatus {
  readonly transport: "fastdp" | "sleeve";
  readonly encrypted: boolean;
  readonly state: "up" | "probing" | "down" | "unavailable";
  readonly reason: string;
  readonly sinceMs: number;
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
}
