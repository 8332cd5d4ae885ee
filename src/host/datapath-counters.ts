// SPDX-License-Identifier: Apache-2.0
// What the switch has counted, summed over the CPUs. Counters live with the maps: they survive daemons, not the host's restart.
import { COUNT, DROP_REASONS, type DropReason, EVENTS, PEER_COUNTS, type SwitchEvent } from "../../native/bpf/maps.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { decodePeerCounts, encodeU32, type PeerTraffic, sumCounts, type Traffic } from "./datapath-codec.ts";

export interface SwitchCounters {
  readonly drops: Readonly<Record<DropReason, Traffic>>;
  readonly events: Readonly<Record<SwitchEvent, Traffic>>;
  /** Known peers; under 0xfff what was flooded from here along our tree. */
  readonly peers: ReadonlyMap<ShortId, PeerTraffic>;
}

export function readCounters(object: BpfObject, peers: Iterable<ShortId>): SwitchCounters {
  return {
    drops: byName(object, "drops", DROP_REASONS),
    events: byName(object, "events", EVENTS),
    peers: new Map([...peers].sort((a, b) => a - b).map((id) => [id, readPeer(object, id)])),
  };
}

export function readPeer(object: BpfObject, peer: ShortId): PeerTraffic {
  return decodePeerCounts(object.map("peers").get(encodeU32(peer)) ?? new Uint8Array(PEER_COUNTS.size));
}

function byName<Name extends string>(object: BpfObject, map: "drops" | "events", names: readonly Name[]): Record<Name, Traffic> {
  const counts = names.map((name, index) => {
    const value = object.map(map).get(encodeU32(index));
    return [name, value ? sumCounts(value, COUNT.size) : { packets: 0, bytes: 0 }] as const;
  });
  return Object.fromEntries(counts) as Record<Name, Traffic>; // every name is there
}
