// SPDX-License-Identifier: Apache-2.0
// What the sleeve's Worker is told at its start, and what it tells.
import type { Ip } from "../net/ip.ts";

export interface SleeveSetup {
  /** UDP. */
  readonly port: number;
  readonly host: Ip | undefined;
  /** End of the sleeve link at which frames are captured and injected. */
  readonly captureLink: string;
  /** Largest IP packet any underlay link takes. */
  readonly largestMtuBytes: number;
  /** Commands come here, see sleeve-commands.ts. Its end is the Worker's end. */
  readonly commandFd: number;
}

/** Datagrams, bytes of UDP payload, and keys that were renewed. */
export interface SleeveCounts {
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly rekeys: number;
}
export interface SleeveSessionFigures extends SleeveCounts {
  readonly localIndex: number;
  readonly neighbour: number;
  readonly isUp: boolean;
  /** The kernel takes several datagrams as one (UDP_SEGMENT). */
  readonly segments: boolean;
  readonly innerBytes: number;
  readonly pathMtuBytes: number;
  readonly cipher: string;
}
export interface SleeveFigures {
  readonly captured: number;
  readonly injected: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly sessions: readonly SleeveSessionFigures[];
  /** Of all sessions that are closed. */
  readonly closed: SleeveCounts;
}

export type SleeveEvent =
  | { readonly type: "ready" }
  | { readonly type: "mtu"; readonly localIndex: number; readonly bytes: number }
  | { readonly type: "moved"; readonly localIndex: number; readonly address: Ip; readonly port: number }
  | { readonly type: "figures"; readonly figures: SleeveFigures }
  /** It ends; without a reason because it was told to. */
  | { readonly type: "over"; readonly reason?: string };
