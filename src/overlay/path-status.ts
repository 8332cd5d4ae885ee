// SPDX-License-Identifier: Apache-2.0
// The data path to a neighbour as people see it: which transport carries frames now, how well, and what else there is. The overlay tells it,
// status, metrics and health warnings show it.

export interface PathStatus {
  readonly transport: "fastdp" | "sleeve" | "none";
  readonly encrypted: boolean;
  /** Largest inner IP packet. */
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
  /** Share of recent probes without an answer, 0..1. */
  readonly loss: number;
  /** Why it is not the best one; empty when it is. */
  readonly reason: string;
  /** Wall-clock ms since when this transport is in use. */
  readonly sinceMs: number;
  /** The others that there are or could be, best first. */
  readonly alternatives: readonly PathAlternative[];
}

export interface PathAlternative {
  readonly transport: "fastdp" | "sleeve";
  readonly encrypted: boolean;
  /** `up`: could be used now. `unavailable`: one of the two hosts lacks it or does not allow it. */
  readonly state: "up" | "probing" | "down" | "unavailable";
  readonly reason: string;
  /** Wall-clock ms since when it has been so. */
  readonly sinceMs: number;
  readonly mtuBytes: number | null;
  readonly rttMs: number | null;
}
