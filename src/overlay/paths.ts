// SPDX-License-Identifier: Apache-2.0
// How frames reach the neighbours, and what the switch therefore has to hold. The mesh opens and closes neighbours and tells routes; each
// neighbour's paths choose their way (neighbour-paths.ts); this room makes one plan of it all and hands it to the carriers.
import type { PeerName, ShortId } from "../mesh/peer-name.ts";
import { formatPeer, formatPeerName } from "../mesh/peer-name.ts";
import type { DataPaths, Neighbour, PathSession, ProbeManner, Routes } from "../mesh/ports.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Counter, Counters } from "../runtime/counters.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Random } from "../runtime/random.ts";
import type { PathSealing, SleeveCarrier, Switch, WireguardCarrier } from "./carriers.ts";
import { type Abilities, NeighbourPaths } from "./neighbour-paths.ts";
import { decodePathMessage, type PathMessage } from "./offer.ts";
import type { PathStatus } from "./path-status.ts";
import { type DatapathPlan, EMPTY_ROUTES, type OpenNeighbour, type Path, type PathKind, planDatapath } from "./plan.ts";
import { ProbePoller, type ProbeReply } from "./probe-poller.ts";

export interface OverlayOptions {
  /** False with `--no-fastdp`: no neighbour gets a data path over VXLAN. */
  readonly fastdp: boolean;
  /** UDP port of our VXLAN device. The switch has one, so neighbours with another have no path there. */
  readonly dataPort: number;
  /** Largest packet of our containers. */
  readonly mtuBytes: number;
}
export interface OverlayPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly sealing: PathSealing;
  readonly switch: Switch;
  /** A text says why there is none. */
  readonly sleeve: SleeveCarrier | string;
  /** From the start; `encrypt` brings another. */
  readonly wireguard: WireguardCarrier | string;
  /** Answers to probes that the kernel has received since the last look. */
  replies(): Iterable<ProbeReply>;
  /** A neighbour's path gives a sign of life. */
  alive(name: PeerName, rttMs: number): void;
}

/** Names of what this host can do, for the hello. */
export function transportNames(options: { fastdp: boolean; wireguard: boolean; sleeve: boolean }): string[] {
  const { fastdp, wireguard, sleeve } = options;
  return [...(fastdp ? ["fastdp"] : []), ...(fastdp && wireguard ? ["wireguard"] : []), ...(sleeve ? ["sleeve"] : [])];
}

interface Outgoing {
  readonly neighbour: ShortId;
  readonly name: PeerName;
  readonly path: Path;
  readonly frameBytes: number | undefined;
}

const SILENT = { received: 0, sent: 0 } as const;
const NO_PATH = { transport: "none", encrypted: false, mtuBytes: null, rttMs: null, loss: 0, alternatives: [] } as const;
const ETHERNET_HEADER_BYTES = 14;
const OFF = "the fast datapath is switched off here";

/** Does not touch the switch, which may still hold what an earlier daemon wrote, until `release`. */
export class Overlay implements DataPaths {
  readonly #ports: OverlayPorts;
  #abilities: Abilities;
  #wireguard: WireguardCarrier | string;
  readonly #poller: ProbePoller;
  readonly #changes: Counter;
  /** `from to` -> how often. */
  readonly #switches = new Map<string, number>();
  readonly #badMessages: Counter;
  readonly #all = new Map<PeerName, NeighbourPaths>();
  readonly #blocked = new Map<PeerName, { readonly reason: string; readonly sinceMs: number }>();
  readonly #probes = new Map<number, { readonly name: PeerName; readonly kind: PathKind }>();
  readonly #waiting = new Map<number, (rttMs: number) => void>();
  #sequence: number;
  #self: ShortId | undefined;
  #routes: Routes = EMPTY_ROUTES;
  #held = true;
  #left: DatapathPlan | undefined;

  constructor(options: OverlayOptions, ports: OverlayPorts) {
    this.#ports = ports;
    const { sleeve, wireguard, counters, clock } = ports;
    this.#wireguard = wireguard;
    this.#abilities = {
      fastdp: options.fastdp ? undefined : OFF,
      wireguard: options.fastdp ? wireguard : OFF,
      ciphers: typeof sleeve === "string" ? [] : sleeve.ciphers,
      dataPort: options.dataPort,
      mtuBytes: options.mtuBytes,
    };
    this.#sequence = ports.random.below(2 ** 31);
    this.#poller = new ProbePoller({
      clock,
      replies: () => ports.replies(),
      answered: (sequence, rttMs) => this.#answered(sequence, rttMs),
      expired: (sequence) => this.#forget(sequence),
    });
    this.#changes = counters.family(
      "weave_datapath_map_changes_total",
      "Entries of the kernel switch's maps that were written or removed",
    );
    this.#badMessages = counters.family("weave_path_bad_messages_total", "Messages about data paths that were not understood");
  }

  // What the mesh asks

  open(neighbour: Neighbour): string | undefined {
    const address = parseIp(neighbour.address);
    if (address === undefined) return this.#refuse(neighbour.name, `its address '${neighbour.address}' is not an IP address`);
    let paths = this.#all.get(neighbour.name);
    if (paths?.isOther(neighbour, address)) {
      this.close(neighbour.name); // what was allowed before may not be now
      paths = undefined;
    }
    const isNew = paths === undefined;
    paths ??= this.#create(neighbour, address);
    paths.update(neighbour, isNew ? this.#left?.neighbours.get(neighbour.shortId)?.send : undefined);
    const { blocked } = paths;
    if (blocked !== undefined) {
      this.close(neighbour.name);
      return this.#refuse(neighbour.name, blocked);
    }
    this.#blocked.delete(neighbour.name);
    this.#apply();
    return undefined;
  }

  close(name: PeerName): void {
    this.#blocked.delete(name);
    const paths = this.#all.get(name);
    if (!paths) return;
    this.#all.delete(name);
    this.#apply(); // the switch first: nothing may be sent to what is about to go
    paths.close();
    this.#setWireguardPeers();
    this.#addressFreed(paths.address);
  }

  received(name: PeerName, session: PathSession, payload: Uint8Array): void {
    let message: PathMessage | undefined;
    try {
      message = decodePathMessage(payload);
    } catch (thrown) {
      if (!(thrown instanceof ProtocolError)) throw thrown;
      this.#badMessages.add("unreadable");
      this.#ports.log.warn("path message not understood", { peer: formatPeerName(name), reason: errorText(thrown) });
      return;
    }
    if (message) this.#all.get(name)?.received(session, message);
    else this.#badMessages.add("unknown-kind");
  }

  probe(name: PeerName, manner: ProbeManner): void {
    this.#all.get(name)?.probe(manner);
  }
  look(): void {
    this.#poller.look();
  }

  activity(name: PeerName): { readonly received: number; readonly sent: number } {
    const paths = this.#all.get(name);
    if (!paths) return SILENT;
    const activity = this.#ports.switch.activity(paths.facts.shortId);
    paths.sentBytes = activity.sentBytes;
    return activity;
  }

  // What the daemon asks

  /** New routes of the mesh; `self` may have changed after a collision of short ids. */
  setRoutes(self: ShortId, routes: Routes): void {
    this.#self = self;
    this.#routes = routes;
    this.#apply();
  }

  /** Reads what an earlier daemon left, so that restored neighbours keep their way. Before the mesh starts. */
  takeUp(): void {
    this.#left = this.#ports.switch.read();
  }
  /** The mesh has restored what it knew: from now on the switch follows the plan. */
  release(): void {
    this.#held = false;
    this.#left = undefined;
    this.#setWireguardPeers();
    this.#apply();
  }

  /** From now on data may have to be encrypted. It counts for connections that are made after this. */
  encrypt(wireguard: WireguardCarrier | string, mtuBytes: number): void {
    this.#wireguard = wireguard;
    this.#abilities = { ...this.#abilities, wireguard: this.#abilities.fastdp === undefined ? wireguard : OFF, mtuBytes };
  }

  /** Writes the plan again, for the reconciler. Returns how many entries differed. */
  reapply(): number {
    return this.#apply();
  }
  /** The host's own network changed. */
  networkChanged(): void {
    for (const paths of this.#all.values()) paths.hint();
  }
  /** The sleeve ended and was started anew. */
  sleeveLost(reason: string): void {
    for (const paths of this.#all.values()) paths.sleeveLost(reason);
    this.#apply();
  }
  sleeveMtu(neighbour: ShortId, bytes: number): void {
    for (const paths of this.#all.values()) if (paths.facts.shortId === neighbour) paths.sleeveMtu(bytes);
  }

  /** undefined: not a neighbour. One without any possible path has transport "none" and the reason. */
  pathOf(name: PeerName): PathStatus | undefined {
    const blocked = this.#blocked.get(name);
    return blocked === undefined ? this.#all.get(name)?.status() : { ...NO_PATH, ...blocked };
  }
  /** Connections that went from one path to another, since the beginning. */
  switches(): { readonly from: PathLabel; readonly to: PathLabel; readonly count: number }[] {
    return [...this.#switches].map(([pair, count]) => {
      const [from, to] = pair.split(" ") as [PathLabel, PathLabel]; // as #noteSwitch joined them
      return { from, to, count };
    });
  }
  #noteSwitch(from: PathKind, to: PathKind, isEncrypted: boolean): void {
    const pair = `${labelOf(from, isEncrypted)} ${labelOf(to, isEncrypted)}`;
    this.#switches.set(pair, (this.#switches.get(pair) ?? 0) + 1);
  }
  /** Neighbours that WireGuard is set up for, by their address inside. */
  insideAddresses(): { readonly name: PeerName; readonly nickname: string; readonly inside: Ip }[] {
    return [...this.#all.values()].flatMap(({ name, facts, wireguardPeer }) =>
      wireguardPeer ? [{ name, nickname: facts.nickname, inside: wireguardPeer.inside }] : [],
    );
  }
  /** Paths that can be probed, the one in use first. */
  probeable(name: PeerName): readonly Path[] {
    return this.#all.get(name)?.probeable() ?? [];
  }
  /** Largest packet that containers of both hosts can have; undefined: not a neighbour. */
  largestBytes(name: PeerName): number | undefined {
    return this.#all.get(name)?.pathMtuBytes;
  }
  /** One probe of its own, as long as a packet of `sizeBytes`; undefined when no answer came in time. */
  async ping(name: PeerName, path: Path, timeoutMs: number, sizeBytes?: number): Promise<number | undefined> {
    const paths = this.#all.get(name);
    if (!paths) return undefined;
    const answer = Promise.withResolvers<number | undefined>();
    const frameBytes = sizeBytes && sizeBytes + ETHERNET_HEADER_BYTES;
    const sequence = this.#probe({ neighbour: paths.facts.shortId, name, path, frameBytes }, "urgent");
    const timer = this.#ports.clock.after(timeoutMs, () => answer.resolve(undefined));
    this.#waiting.set(sequence, answer.resolve);
    return await answer.promise.finally(() => {
      timer[Symbol.dispose]();
      this.#waiting.delete(sequence);
    });
  }

  stop(): void {
    this.#poller.stop();
  }

  #create(neighbour: Neighbour, address: Ip): NeighbourPaths {
    const { clock, random, log, sealing, sleeve } = this.#ports;
    const { name } = neighbour;
    const peer = formatPeer(name, neighbour.nickname);
    const paths: NeighbourPaths = new NeighbourPaths(neighbour, address, {
      clock,
      random,
      sealing,
      abilities: this.#abilities,
      probe: (path, isFullSize, manner) => {
        const frameBytes = isFullSize ? this.#abilities.mtuBytes + ETHERNET_HEADER_BYTES : undefined;
        return this.#probe({ neighbour: paths.facts.shortId, name, path, frameBytes }, manner);
      },
      look: () => this.#poller.look(),
      alive: (rttMs) => this.#ports.alive(name, rttMs),
      replan: () => void this.#apply(),
      changed: (from, to, reason) => {
        if (from !== undefined) this.#noteSwitch(from, to, paths.isEncrypted);
        const fields = { peer, transport: to, ...(from === undefined ? {} : { before: from, reason }) };
        if (from === undefined) log.debug("transport chosen", fields);
        else log.info("transport changed", fields);
      },
      newSleeveIndex: () => this.#newSleeveIndex(),
      openSleeve: (session) => {
        if (typeof sleeve !== "string") sleeve.openSession(session);
      },
      closeSleeve: (localIndex) => {
        if (typeof sleeve !== "string") sleeve.closeSession(localIndex);
      },
      wireguardChanged: () => this.#setWireguardPeers(),
      addressTaken: (at, by) => this.#ownerOf(at, by),
    });
    this.#all.set(name, paths);
    return paths;
  }

  #refuse(name: PeerName, reason: string): string {
    const sinceMs = this.#blocked.get(name)?.sinceMs ?? this.#ports.clock.wallMs();
    this.#blocked.set(name, { reason, sinceMs });
    return reason;
  }

  // The switch knows neighbours by outer address, so one address is one neighbour: two behind one NAT cannot both have it.
  #ownerOf(address: Ip, except: PeerName): string | undefined {
    for (const paths of this.#all.values()) {
      if (paths.name !== except && paths.address === address && paths.takesClear) {
        return formatPeer(paths.name, paths.facts.nickname);
      }
    }
    return undefined;
  }
  #addressFreed(address: Ip): void {
    for (const paths of this.#all.values()) if (paths.address === address) paths.hint();
  }

  #newSleeveIndex(): number {
    for (;;) {
      const index = new DataView(Uint8Array.from(this.#ports.sealing.random(4)).buffer).getUint32(0);
      if (index !== 0) return index; // the carrier knows how to live with a collision
    }
  }

  #setWireguardPeers(): void {
    if (typeof this.#wireguard === "string" || this.#held) return;
    this.#wireguard.setPeers([...this.#all.values()].flatMap((paths) => paths.wireguardPeer ?? []));
  }

  // Probes

  #probe({ neighbour, name, path, frameBytes }: Outgoing, manner: ProbeManner): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sequence = this.#sequence;
    this.#probes.set(sequence, { name, kind: path.kind });
    this.#ports.switch.probe(neighbour, path, sequence, frameBytes);
    this.#poller.sent(neighbour, sequence, manner);
    return sequence;
  }
  #answered(sequence: number, rttMs: number): void {
    const probe = this.#probes.get(sequence);
    this.#probes.delete(sequence);
    const waiting = this.#waiting.get(sequence);
    if (waiting) waiting(rttMs);
    else if (probe) this.#all.get(probe.name)?.answered(probe.kind, sequence, rttMs);
  }
  #forget(sequence: number): void {
    this.#probes.delete(sequence);
  }

  #apply(): number {
    if (this.#held || this.#self === undefined) return 0;
    const open = new Map<PeerName, OpenNeighbour>();
    for (const [name, paths] of this.#all) open.set(name, paths.plan());
    const { changed } = this.#ports.switch.apply(planDatapath(this.#self, open, this.#routes));
    if (changed > 0) this.#changes.add("", changed);
    return changed;
  }
}

/** Transport and encryption in one word, as metrics name them. */
export type PathLabel = "fastdp" | "fastdp-encrypted" | "sleeve" | "sleeve-encrypted";
function labelOf(kind: PathKind, isEncrypted: boolean): PathLabel {
  if (kind === "sleeve") return isEncrypted ? "sleeve-encrypted" : "sleeve";
  return isEncrypted ? "fastdp-encrypted" : "fastdp";
}
