// SPDX-License-Identifier: Apache-2.0
// What the switch has counted, summed over the CPUs. Counters live with the maps: they survive daemons, not the host's restart.
import { COUNT, DROP_REASONS, type DropReason, EVENTS, PEER_COUNTS, type SwitchEvent } from "../../native/bpf/maps.ts";
import { allocate, type Bytes } from "../../native/ffi.ts";
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { decodePeerCounts, encodeU32, type PeerTraffic, readCount, sumCounts, type Traffic } from "./datapath-codec.ts";

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

function readPeer(object: BpfObject, peer: ShortId): PeerTraffic {
  return decodePeerCounts(object.map("peers").get(encodeU32(peer)) ?? new Uint8Array(PEER_COUNTS.size));
}

/** What single neighbours and we handed to each other, for looks that come every second: in the same memory each time. */
export class NeighbourActivity {
  readonly #counts: BpfMap;
  readonly #key = allocate(4);
  readonly #keyView = new DataView(this.#key.buffer);
  readonly #value: Bytes;
  readonly #view: DataView;

  constructor(counts: BpfMap) {
    this.#counts = counts;
    this.#value = allocate(counts.valueBytes);
    this.#view = new DataView(this.#value.buffer);
  }

  /** Frames, and bytes sent; none of a peer the switch does not know. */
  of(neighbour: ShortId): { received: number; sent: number; sentBytes: number } {
    const activity = { received: 0, sent: 0, sentBytes: 0 };
    this.#keyView.setUint32(0, neighbour, true);
    if (!this.#counts.read(this.#key, this.#value)) return activity;
    for (let cpu = 0; cpu + PEER_COUNTS.size <= this.#value.length; cpu += PEER_COUNTS.size) {
      activity.received += readCount(this.#view, cpu + PEER_COUNTS.fromNeighbour + COUNT.packets);
      activity.sent += readCount(this.#view, cpu + PEER_COUNTS.toNeighbour + COUNT.packets);
      activity.sentBytes += readCount(this.#view, cpu + PEER_COUNTS.toNeighbour + COUNT.bytes);
    }
    return activity;
  }
}

function byName<Name extends string>(object: BpfObject, map: "drops" | "events", names: readonly Name[]): Record<Name, Traffic> {
  const counts = names.map((name, index) => {
    const value = object.map(map).get(encodeU32(index));
    return [name, value ? sumCounts(value, COUNT.size) : { packets: 0, bytes: 0 }] as const;
  });
  return Object.fromEntries(counts) as Record<Name, Traffic>; // every name is there
}
