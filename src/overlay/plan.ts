// SPDX-License-Identifier: Apache-2.0
// What the kernel switch should hold, as plain values. `planDatapath` derives it from the mesh's routes; `host/datapath.ts` makes it so.

import type { ShortId } from "../mesh/peer-name.ts";
import type { Ip } from "../net/ip.ts";

export interface DatapathPlan {
  readonly self: ShortId;
  /** Direct neighbours with a data path: where to send, and whose frames to take. */
  readonly neighbours: ReadonlyMap<ShortId, NeighbourEntry>;
  /** Destination -> neighbour to hand the frame to. */
  readonly nextHops: ReadonlyMap<ShortId, ShortId>;
  /** Source -> our place in its broadcast tree; `parent` 0 at the source itself. */
  readonly floods: ReadonlyMap<ShortId, FloodEntry>;
}
export interface NeighbourEntry {
  readonly address: Ip;
  readonly dataPort: number;
}
export interface FloodEntry {
  readonly parent: number;
  /** Ascending. */
  readonly hops: readonly ShortId[];
}
