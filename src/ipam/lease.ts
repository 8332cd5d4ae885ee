// SPDX-License-Identifier: Apache-2.0
// The record of one address that is given out, and what the allocator needs to remember over restarts.

export interface Lease {
  /** IPv4 as a number; the key. It may lie outside the range, if somebody asked for just this one. */
  readonly address: number;
  /** Full container id, `netns:/run/netns/web`, `weave:expose`, or whatever a plugin calls it. */
  readonly owner: string;
  readonly prefixLength: number;
  /** Which of the address and its IPv6 twin are in use. */
  readonly family: "v4" | "v6" | "both";
  /** How it ends when nobody releases it: with what this daemon attached or exposed, with the container of that id, or (`api`) not at all. */
  readonly via: "attach" | "container" | "api";
}

/** An address that was released a moment ago. */
export interface Freed {
  readonly lease: Lease;
  /** Wall-clock ms. */
  readonly freedMs: number;
}

export interface StoredIpam {
  /** `encodeMemory` of memory.ts; undefined: nothing was ever stored. */
  readonly memory: Uint8Array | undefined;
  readonly leases: readonly Lease[];
  readonly freed: readonly Freed[];
}

export interface IpamChange {
  /** undefined: unchanged. */
  readonly memory: Uint8Array | undefined;
  readonly put: readonly Lease[];
  readonly freed: readonly Freed[];
  readonly drop: readonly number[];
}

/** Durable record of leases and ring. */
export interface IpamJournal {
  load(): StoredIpam;
  /** All or nothing, on disk when it returns. @throws {UserError} */
  commit(change: IpamChange): void;
}
