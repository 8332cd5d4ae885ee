// SPDX-License-Identifier: Apache-2.0
// The plan in the kernel's maps: reading it back, and writing what differs in an order in which no frame finds half a route.
//   add:    probes, endpoint, neighbour, next hop, tree        remove: the reverse
// A next hop is one number and a tree is one element, so each changes in one step; an endpoint is replaced as a whole.
import { FANOUT, FANOUT_SMALL, PROBE_STATE } from "../../native/bpf/maps.ts";
import type { ObjectKind } from "../../native/bpf/objects.ts";
import { kernelNanoseconds } from "../../native/libbpf/ktime.ts";
import type { BpfMap } from "../../native/libbpf/map.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { type Ip, ipBytes16, ipFromBytes } from "../net/ip.ts";
import { formatMac } from "../net/mac.ts";
import type { DatapathPlan, FloodEntry, NeighbourEntry, Path } from "../overlay/plan.ts";
import type { Log } from "../runtime/log.ts";
import {
  decodeEndpoint,
  decodeFlood,
  decodeNeighbour,
  decodeU32,
  encodeEndpoint,
  encodeFlood,
  encodeNeighbour,
  encodeU32,
} from "./datapath-codec.ts";
import type { Underlay } from "./datapath-underlay.ts";

type Bytes = Uint8Array;
/** Elements by their key as text. */
type Table = ReadonlyMap<string, { readonly key: Bytes; readonly value: Bytes }>;
interface Contents {
  readonly endpoints: Table;
  readonly neighbours: Table;
  readonly floods: Table;
  readonly nextHops: ReadonlyMap<ShortId, ShortId>;
  /** Neighbours with a place for probes. */
  readonly probes: ReadonlySet<ShortId>;
}

/** A frame that came from the former parent may still be on its way over the new one, so nothing of its source is taken for a moment. Frames are lost then,
 *  which they may be while a tree changes; a second copy would be against what is promised. Longer than two ways to the same host usually differ. */
const TREE_GUARD_NS = 50_000_000n;

export class RouteTables {
  readonly #object: BpfObject;
  readonly #fanout: number;
  readonly #log: Log;
  /** What we last left in the maps; undefined: look. Nobody else writes them, and the reconciler looks all the same. */
  #contents: Contents | undefined;
  /** Parents of trees that are not in the maps any more, and since when, on the kernel's clock. */
  readonly #left = new Map<number, { readonly parent: number; readonly atNs: bigint }>();
  // What was said once.
  readonly #warned = new Set<number>(); // sources whose tree was cut
  readonly #refused = new Set<ShortId>(); // neighbours with another data port

  constructor(object: BpfObject, kind: ObjectKind, log: Log) {
    this.#object = object;
    this.#fanout = kind === "full" ? FANOUT : FANOUT_SMALL;
    this.#log = log;
  }

  /** Everything but `self`, which stands in the settings. Whoever has a place for probes is accepted from by the sleeve. */
  read(dataPort: number): Omit<DatapathPlan, "self"> {
    const neighbours = new Map<ShortId, NeighbourEntry>();
    const accepted = this.#readAccepted();
    for (const [key, value] of this.#object.map("endpoints").entries()) {
      const { path, mtuBytes } = decodeEndpoint(value);
      const id = decodeU32(key) as ShortId;
      neighbours.set(id, { send: path, accept: accepted.get(id) ?? [path], dataPort, mtuBytes });
    }
    for (const [id, accept] of accepted) {
      if (!neighbours.has(id)) neighbours.set(id, { send: undefined, accept, dataPort, mtuBytes: 0 });
    }
    const floods = new Map<ShortId, FloodEntry>();
    for (const [key, value] of this.#object.map("floods").entries()) {
      const { parent, hops } = decodeFlood(value);
      floods.set(decodeU32(key) as ShortId, { parent, hops });
    }
    return { neighbours, nextHops: this.#readNextHops(), floods };
  }

  /** Returns how many elements were written or removed. A neighbour with another data port than ours is left out: the VXLAN device sends to
   *  its own port only. */
  apply(wanted: DatapathPlan, dataPort: number, underlay: Underlay): number {
    const plan = this.#reachable(wanted, dataPort);
    const endpoints = table(
      [...plan.neighbours].flatMap(([id, { send, mtuBytes }]) =>
        send ? [[encodeU32(id), endpointOf(send, mtuBytes, underlay)] as const] : [],
      ),
    );
    const neighbours = table(
      [...plan.neighbours].flatMap(([id, { accept }]) =>
        accept.flatMap((path) => {
          if (path.kind === "sleeve") return [];
          const isInside = path.kind === "wireguard";
          return [[ipBytes16(path.address), neighbourOf(id, path.address, isInside, underlay)] as const];
        }),
      ),
    );
    const now = this.#contents ?? this.#readContents();
    const floods = this.#guarded(now.floods, plan.floods);
    this.#contents = undefined; // until all is written
    const probes = this.#object.map("probes");
    for (const id of plan.neighbours.keys()) if (!now.probes.has(id)) probes.set(encodeU32(id), new Uint8Array(PROBE_STATE.size));
    let changed = this.#write("endpoints", now.endpoints, endpoints) + this.#write("neighbours", now.neighbours, neighbours);
    changed += this.#writeNextHops(now.nextHops, plan.nextHops) + this.#write("floods", now.floods, floods);
    changed += this.#removeOthers("floods", now.floods, floods) + this.#removeNextHops(now.nextHops, plan.nextHops);
    changed += this.#removeOthers("neighbours", now.neighbours, neighbours);
    changed += this.#removeOthers("endpoints", now.endpoints, endpoints);
    for (const id of now.probes) if (!plan.neighbours.has(id)) probes.delete(encodeU32(id));
    const nextHops = new Map(plan.nextHops);
    this.#contents = { endpoints, neighbours, floods, nextHops, probes: new Set(plan.neighbours.keys()) };
    return changed;
  }

  /** The underlay's routes may have changed: writes the endpoints' parts that come from them. The next `apply` looks at the maps again. */
  refreshEndpoints(underlay: Underlay): number {
    this.#contents = undefined;
    const now = this.#read("endpoints");
    const wanted = table(
      [...now.values()].map(({ key, value }) => {
        const { path, mtuBytes } = decodeEndpoint(value);
        return [key, endpointOf(path, mtuBytes, underlay)];
      }),
    );
    const neighbours = this.#read("neighbours");
    const wantedNeighbours = table(
      [...neighbours.values()].map(({ key, value }) => {
        const { id, isInside } = decodeNeighbour(value);
        return [key, neighbourOf(id, ipFromBytes(key), isInside, underlay)];
      }),
    );
    return this.#write("endpoints", now, wanted) + this.#write("neighbours", neighbours, wantedNeighbours);
  }

  /** The trees as elements, each with the time from which on its frames are taken. */
  #guarded(before: Table, wanted: DatapathPlan["floods"]): Table {
    const nowNs = kernelNanoseconds();
    for (const [source, { atNs }] of this.#left) if (nowNs - atNs > TREE_GUARD_NS) this.#left.delete(source);
    const floods = table(
      [...wanted].map(([source, flood]) => {
        const key = encodeU32(source);
        const old = before.get(Buffer.from(key).toString("hex"));
        return [key, encodeFlood(this.#fitting(source, flood), this.#takenFrom(source, flood.parent, old?.value, nowNs))];
      }),
    );
    for (const [text, { key, value }] of before) {
      if (!floods.has(text)) this.#left.set(decodeU32(key), { parent: decodeFlood(value).parent, atNs: nowNs });
    }
    return floods;
  }
  #takenFrom(source: number, parent: number, old: Bytes | undefined, nowNs: bigint): bigint {
    if (old !== undefined) {
      const { parent: before, sinceNs } = decodeFlood(old);
      return before === parent ? sinceNs : nowNs + TREE_GUARD_NS;
    }
    const left = this.#left.get(source);
    return left === undefined || left.parent === parent ? 0n : left.atNs + TREE_GUARD_NS;
  }

  #readContents(): Contents {
    const tables = { endpoints: this.#read("endpoints"), neighbours: this.#read("neighbours"), floods: this.#read("floods") };
    const probes = new Set([...this.#object.map("probes").entries()].map(([key]) => decodeU32(key) as ShortId));
    return { ...tables, nextHops: this.#readNextHops(), probes };
  }
  #readAccepted(): Map<ShortId, Path[]> {
    const accepted = new Map<ShortId, Path[]>();
    for (const [key] of this.#object.map("probes").entries()) accepted.set(decodeU32(key) as ShortId, [{ kind: "sleeve" }]);
    for (const [key, value] of this.#object.map("neighbours").entries()) {
      const { id, isInside } = decodeNeighbour(value);
      const path: Path = { kind: isInside ? "wireguard" : "fastdp", address: ipFromBytes(key) };
      accepted.set(id, [path, ...(accepted.get(id) ?? [])]);
    }
    return accepted;
  }
  #readNextHops(): Map<ShortId, ShortId> {
    const nextHops = new Map<ShortId, ShortId>();
    for (const { count, keys, values } of this.#object.map("nexthops").chunks()) {
      const [ids, hops] = [new Uint32Array(keys.buffer), new Uint32Array(values.buffer)];
      for (let i = 0; i < count; i++) if (hops[i] !== 0) nextHops.set(ids[i] as ShortId, hops[i] as ShortId);
    }
    return nextHops;
  }
  #writeNextHops(now: ReadonlyMap<ShortId, ShortId>, wanted: ReadonlyMap<ShortId, ShortId>): number {
    const different = [...wanted].filter(([destination, hop]) => now.get(destination) !== hop);
    for (const [destination, hop] of different) this.#object.map("nexthops").set(encodeU32(destination), encodeU32(hop));
    return different.length;
  }
  #removeNextHops(now: ReadonlyMap<ShortId, ShortId>, wanted: ReadonlyMap<ShortId, ShortId>): number {
    const gone = [...now.keys()].filter((destination) => !wanted.has(destination));
    for (const destination of gone) this.#object.map("nexthops").set(encodeU32(destination), encodeU32(0));
    return gone.length;
  }

  // A tree has as many hops as this host has connections, which `--conn-limit` bounds far below what fits.
  #fitting(source: number, flood: FloodEntry): FloodEntry {
    if (flood.hops.length <= this.#fanout) return flood;
    if (!this.#warned.has(source)) {
      this.#warned.add(source);
      this.#log.error("too many neighbours for one broadcast tree, some hosts get no broadcasts", {
        source: formatMac(source),
        neighbours: flood.hops.length,
        limit: this.#fanout,
      });
    }
    return { parent: flood.parent, hops: flood.hops.slice(0, this.#fanout) };
  }

  #reachable(plan: DatapathPlan, dataPort: number): DatapathPlan {
    const others = [...plan.neighbours].filter(
      ([, { send, dataPort: port }]) => port !== dataPort && send !== undefined && send.kind !== "sleeve",
    );
    if (others.length === 0) return plan;
    const refused = new Set(others.map(([id]) => id));
    for (const [id, { dataPort: port }] of others) {
      if (this.#refused.has(id)) continue;
      this.#refused.add(id);
      this.#log.warn("no data path to a neighbour with another data port", { port, reason: `ours is ${dataPort}` });
    }
    const isReachable = (id: ShortId) => !refused.has(id);
    return {
      self: plan.self,
      neighbours: new Map([...plan.neighbours].filter(([id]) => isReachable(id))),
      nextHops: new Map([...plan.nextHops].filter(([, hop]) => isReachable(hop))),
      floods: new Map(
        [...plan.floods]
          .filter(([, { parent }]) => isReachable(parent as ShortId))
          .map(([id, { parent, hops }]) => [id, { parent, hops: hops.filter(isReachable) }]),
      ),
    };
  }

  #read(name: "endpoints" | "neighbours" | "floods"): Table {
    return table([...this.#object.map(name).entries()]);
  }
  #write(name: "endpoints" | "neighbours" | "floods", now: Table, wanted: Table): number {
    const map: BpfMap = this.#object.map(name);
    const different = [...wanted].filter(([key, { value }]) => !isEqual(now.get(key)?.value, value));
    for (const [, { key, value }] of different) map.set(key, value);
    return different.length;
  }
  #removeOthers(name: "endpoints" | "neighbours" | "floods", now: Table, wanted: Table): number {
    const gone = [...now].filter(([key]) => !wanted.has(key));
    for (const [, { key }] of gone) this.#object.map(name).delete(key);
    return gone.length;
  }
}

function endpointOf(path: Path, mtuBytes: number, underlay: Underlay): Bytes {
  const nowhere = { local: undefined, via: undefined, relayIfindex: 0 };
  return encodeEndpoint({ path, mtuBytes, ...(path.kind === "sleeve" ? nowhere : underlay.way(path.address)) });
}
function neighbourOf(id: ShortId, address: Ip, isInside: boolean, underlay: Underlay): Bytes {
  return encodeNeighbour(id, underlay.way(address).local, isInside);
}

function table(elements: readonly (readonly [key: Bytes, value: Bytes])[]): Table {
  return new Map(elements.map(([key, value]) => [Buffer.from(key).toString("hex"), { key, value }]));
}

function isEqual(a: Bytes | undefined, b: Bytes): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
