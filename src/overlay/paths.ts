// SPDX-License-Identifier: Apache-2.0
// Which transport carries frames to a neighbour, and what the switch therefore has to hold. The mesh opens and closes neighbours and tells
// routes; this room turns both into one plan and hands it to the switch. A neighbour that may not get clear frames is never put into the plan.
import type { PeerName, ShortId } from "../mesh/peer-name.ts";
import { formatPeerName } from "../mesh/peer-name.ts";
import type { DataPaths, Neighbour, Routes } from "../mesh/ports.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Counter, Counters } from "../runtime/counters.ts";
import type { Log } from "../runtime/log.ts";
import type { PathStatus } from "./path-status.ts";
import { type DatapathPlan, EMPTY_ROUTES, type OpenNeighbour, planDatapath } from "./plan.ts";

/** What the overlay needs of the kernel switch. */
export interface Switch {
  apply(plan: DatapathPlan): { readonly changed: number };
  probe(neighbour: ShortId, address: Ip, sequence: number, frameBytes?: number): void;
  activity(neighbour: ShortId): { readonly received: number; readonly sent: number };
}

export interface OverlayOptions {
  /** False with `--no-fastdp`: no neighbour gets a data path over VXLAN. */
  readonly fastdp: boolean;
  /** UDP port of our VXLAN device. The switch has one, so neighbours with another get no data path. */
  readonly dataPort: number;
}

/** Transports this build has, best first; sent to neighbours in the hello. */
export const TRANSPORTS = ["fastdp"] as const;

const SILENT = { received: 0, sent: 0 } as const;

/** Does not touch the switch, which may still hold what an earlier daemon wrote, until `release`. */
export class Overlay implements DataPaths {
  readonly #fastdp: boolean;
  readonly #dataPort: number;
  readonly #switch: Switch;
  readonly #log: Log;
  readonly #probeSent: (peer: PeerName, sequence: number) => void;
  readonly #changes: Counter;
  readonly #open = new Map<PeerName, OpenNeighbour>();
  readonly #refused = new Map<PeerName, string>();
  readonly #since = new Map<PeerName, number>();
  readonly #wallMs: () => number;
  #self: ShortId | undefined;
  #routes: Routes = EMPTY_ROUTES;
  #held = true;

  constructor(
    options: OverlayOptions,
    ports: {
      switch: Switch;
      log: Log;
      counters: Counters;
      probeSent(peer: PeerName, sequence: number): void;
      wallMs(): number;
    },
  ) {
    this.#fastdp = options.fastdp;
    this.#dataPort = options.dataPort;
    this.#switch = ports.switch;
    this.#log = ports.log;
    this.#probeSent = ports.probeSent;
    this.#wallMs = ports.wallMs;
    this.#changes = ports.counters.family(
      "weave_datapath_map_changes_total",
      "Entries of the kernel switch's maps that were written or removed",
    );
  }

  open(neighbour: Neighbour): string | undefined {
    const address = parseIp(neighbour.address);
    const reason = address === undefined ? `its address '${neighbour.address}' is not an IP address` : this.#whyNot(neighbour);
    if (address === undefined || reason !== undefined) {
      if (!this.#refused.has(neighbour.name)) this.#since.set(neighbour.name, this.#wallMs());
      this.#refused.set(neighbour.name, reason ?? "");
      this.#remove(neighbour.name);
      return reason;
    }
    this.#refused.delete(neighbour.name);
    this.#evictOthersAt(address, neighbour);
    const known = this.#open.get(neighbour.name);
    if (known?.address === address && known.shortId === neighbour.shortId && known.dataPort === neighbour.dataPort)
      return undefined;
    if (!known) this.#since.set(neighbour.name, this.#wallMs());
    this.#open.set(neighbour.name, { shortId: neighbour.shortId, address, dataPort: neighbour.dataPort });
    this.#apply();
    return undefined;
  }

  close(name: PeerName): void {
    this.#refused.delete(name);
    this.#since.delete(name);
    this.#remove(name);
  }

  probe(name: PeerName, sequence: number, frameBytes?: number): void {
    const neighbour = this.#open.get(name);
    if (!neighbour) return;
    this.#switch.probe(neighbour.shortId, neighbour.address, sequence, frameBytes);
    this.#probeSent(name, sequence);
  }

  activity(name: PeerName): { readonly received: number; readonly sent: number } {
    const neighbour = this.#open.get(name);
    return neighbour ? this.#switch.activity(neighbour.shortId) : SILENT;
  }

  /** New routes of the mesh; `self` may have changed after a collision of short ids. */
  setRoutes(self: ShortId, routes: Routes): void {
    this.#self = self;
    this.#routes = routes;
    this.#apply();
  }

  /** The mesh has restored what it knew: from now on the switch follows the plan. */
  release(): void {
    this.#held = false;
    this.#apply();
  }

  /** The neighbour with this short id, for replies that the kernel reports by number. */
  nameOf(shortId: ShortId): PeerName | undefined {
    for (const [name, neighbour] of this.#open) if (neighbour.shortId === shortId) return name;
    return undefined;
  }

  /** How frames reach a neighbour, or why none does; undefined: it is no neighbour. */
  pathOf(name: PeerName): PathStatus | undefined {
    const isOpen = this.#open.has(name);
    if (!isOpen && !this.#refused.has(name)) return undefined;
    return {
      transport: isOpen ? "fastdp" : "none",
      encrypted: false,
      mtuBytes: null,
      rttMs: null,
      loss: 0,
      reason: this.#refused.get(name) ?? "",
      sinceMs: this.#since.get(name) ?? 0,
      alternatives: [],
    };
  }

  /** Writes the plan again, for the reconciler. Returns how many entries differed. */
  reapply(): number {
    return this.#apply();
  }

  #whyNot(neighbour: Neighbour): string | undefined {
    if (!this.#fastdp) return "the fast datapath is switched off here and no other transport is available";
    if (!neighbour.transports.includes("fastdp"))
      return "the peer has the fast datapath switched off and no other transport is available";
    if (neighbour.dataPort !== this.#dataPort) {
      return `its data port is UDP ${neighbour.dataPort}, ours is UDP ${this.#dataPort}: all hosts need the same --port`;
    }
    if (neighbour.passwordUsed && !neighbour.trusted) {
      return "a password is set, no encrypted transport is available, and clear data needs both ends in --trusted-subnets";
    }
    return undefined;
  }

  // The switch knows neighbours by outer address, so one address is one neighbour: the one that authenticated last.
  #evictOthersAt(address: Ip, neighbour: Neighbour): void {
    for (const [name, other] of this.#open) {
      if (name === neighbour.name || other.address !== address) continue;
      this.#log.warn("underlay address taken over by another peer", {
        address,
        peer: formatPeerName(neighbour.name),
        before: formatPeerName(name),
      });
      this.#refused.set(name, `its address ${address} is now used by peer ${formatPeerName(neighbour.name)}`);
      this.#open.delete(name);
    }
  }

  #remove(name: PeerName): void {
    if (this.#open.delete(name)) this.#apply();
  }

  #apply(): number {
    if (this.#held || this.#self === undefined) return 0;
    const { changed } = this.#switch.apply(planDatapath(this.#self, this.#open, this.#routes));
    if (changed > 0) this.#changes.add("", changed);
    return changed;
  }
}
