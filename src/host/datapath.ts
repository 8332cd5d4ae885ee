// SPDX-License-Identifier: Apache-2.0
// The kernel switch of this host as the daemon sees it: loads it or takes over what an earlier daemon left, keeps its maps and hooks right, reads
// its counters. Everything is pinned, so the switch works on while no daemon runs. The programs: native/bpf/switch.bpf.c.
//
// The methods act in the calling thread's network namespace; the object is to be used in the one it was opened in.
import { rmSync } from "node:fs";
import { SETTING_FLAG } from "../../native/bpf/maps.ts";
import { type ObjectKind, readObject } from "../../native/bpf/objects.ts";
import { isSystemError } from "../../native/errno.ts";
import type { BpfObject } from "../../native/libbpf/object.ts";
import { SHORT_ID_FLOOD, type ShortId } from "../mesh/peer-name.ts";
import type { Mac } from "../net/mac.ts";
import type { DatapathPlan, Path } from "../overlay/plan.ts";
import type { Log } from "../runtime/log.ts";
import { NeighbourActivity, readCounters, type SwitchCounters } from "./datapath-counters.ts";
import { type AttachKind, chooseAttach, detachAllTc, detachAllTcx, type Hook, Hooks } from "./datapath-hooks.ts";
import { type LearnedMac, MacTable } from "./datapath-macs.ts";
import { copyMaps, linksFolder, loadSwitch, preparePins, removePins } from "./datapath-pins.ts";
import { type PortPolicy, PortTables } from "./datapath-ports.ts";
import { type ProbeReply, Probes } from "./datapath-probes.ts";
import { RouteTables } from "./datapath-routes.ts";
import { changeSettings, nextGeneration, readSettings } from "./datapath-settings.ts";
import { Underlay } from "./datapath-underlay.ts";
import { ProbeSocket } from "./probe-socket.ts";
import { SleeveProbeSocket } from "./sleeve-probe-socket.ts";

export type { PortPolicy } from "./datapath-ports.ts";

export interface DatapathOptions {
  readonly bridgeIfindex: number;
  readonly vxlanIfindex: number;
  /** The switch's end of the sleeve link; undefined: there is no sleeve. */
  readonly sleeveIfindex?: number | undefined;
  /** On a BPF file system: /sys/fs/bpf/weave. */
  readonly pinDir: string;
  readonly log: Log;
  /** Default "auto": the best the kernel takes. */
  readonly object?: "auto" | ObjectKind;
  readonly attach?: "auto" | AttachKind;
}
/** For tests of single parts and of upgrades. */
export interface DatapathTuning {
  readonly bypass?: boolean;
  readonly unwrap?: boolean;
  readonly ttl?: number;
  readonly macAgeMs?: number;
  readonly macStampMs?: number;
  readonly layout?: number;
  readonly readBytes?: (kind: ObjectKind) => Uint8Array;
}

const MAC_AGE_MS = 300_000; // as the bridge's
const MAC_STAMP_MS = 30_000;
const TTL = 64;
const NS_PER_MS = 1_000_000n;

export class Datapath implements Disposable {
  readonly kind: { readonly object: ObjectKind; readonly attach: AttachKind };
  readonly #options: DatapathOptions;
  readonly #object: BpfObject;
  readonly #hooks: Hooks;
  readonly #underlay: Underlay;
  readonly #probeSocket: ProbeSocket;
  readonly #sleeveProbes: SleeveProbeSocket | undefined;
  readonly #routes: RouteTables;
  readonly #ports: PortTables;
  readonly #probes: Probes;
  readonly #macs: MacTable;
  readonly #activity: NeighbourActivity;
  /** As the settings have it; 0: not known yet. */
  #self: number;
  #watched: readonly number[] = [];
  #wireguard: number | undefined;

  private constructor(
    options: DatapathOptions,
    object: BpfObject,
    kind: ObjectKind,
    hooks: Hooks,
    underlay: Underlay,
    sockets: { readonly vxlan: ProbeSocket; readonly sleeve: SleeveProbeSocket | undefined },
  ) {
    this.kind = { object: kind, attach: hooks.kind };
    this.#options = options;
    this.#object = object;
    this.#hooks = hooks;
    this.#underlay = underlay;
    this.#probeSocket = sockets.vxlan;
    this.#sleeveProbes = sockets.sleeve;
    this.#routes = new RouteTables(object, kind, options.log);
    this.#ports = new PortTables(object);
    this.#probes = new Probes(object.map("probes"));
    this.#macs = new MacTable(object);
    this.#activity = new NeighbourActivity(object.map("peers"));
    this.#self = readSettings(object).self;
  }

  /** Loads the switch and attaches it to the VXLAN device, using the maps that are pinned and exchanging programs without losing a frame.
   *  When a device was made anew, dispose and open again.
   *  @throws {UserError} no BPF file system, no permission, or a kernel that cannot run it  @throws {SystemError} */
  static open(options: DatapathOptions, tuning: DatapathTuning = {}): Datapath {
    const { pinDir, log } = options;
    preparePins(pinDir);
    const wanted = options.object ?? "auto";
    const kinds: readonly ObjectKind[] = wanted === "auto" ? ["full", "small"] : [wanted];
    using undo = new DisposableStack();
    const layout = tuning.layout === undefined ? {} : { layout: tuning.layout };
    const loaded = loadSwitch({ pinDir, kinds, readBytes: tuning.readBytes ?? readObject, log, ...layout });
    undo.use(loaded.object);
    const underlay = undo.use(Underlay.open());
    const dataPort = underlay.links.get(options.vxlanIfindex)?.vxlan?.port ?? 0;
    const vxlan = undo.use(ProbeSocket.open(dataPort));
    const { sleeveIfindex } = options;
    const sleeve = sleeveIfindex === undefined ? undefined : undo.use(SleeveProbeSocket.open(sleeveIfindex));
    const folder = linksFolder(pinDir);
    const attach =
      options.attach === undefined || options.attach === "auto" ? chooseAttach(folder, loaded.object) : options.attach;
    // Two kinds at once at one device would run everything twice.
    if (attach === "tc") detachAllTcx(folder);
    else detachAllTc(devicesOf(underlay, options));
    const isUnfilled = loaded.isFresh || readSettings(loaded.object).self === 0;
    if (isUnfilled) for (const old of loaded.superseded) copyMaps(old, loaded.object, log);
    writeSettings(loaded.object, options, dataPort, tuning);
    const datapath = new Datapath(options, loaded.object, loaded.kind, new Hooks(attach, folder, loaded.object), underlay, {
      vxlan,
      sleeve,
    });
    datapath.#takeOver();
    for (const old of loaded.superseded) removePins(old);
    undo.move();
    return datapath;
  }

  /** The switch goes on working. */
  [Symbol.dispose](): void {
    this.#probeSocket[Symbol.dispose]();
    this.#sleeveProbes?.[Symbol.dispose]();
    this.#underlay[Symbol.dispose]();
    this.#object[Symbol.dispose]();
  }

  /** What the kernel holds, for example routes left by an earlier daemon; undefined before the first `apply` ever. */
  read(): DatapathPlan | undefined {
    const { self, dataPort } = readSettings(this.#object);
    return self === 0 ? undefined : { self: self as ShortId, ...this.#routes.read(dataPort) };
  }

  /** Makes the kernel hold the plan: only what differs is touched, in an order that never leaves half a route. A neighbour with another data
   *  port than ours cannot be reached, because the VXLAN device sends to its own port only: it is left out, and said so. */
  apply(plan: DatapathPlan): { changed: number } {
    const { self, dataPort } = readSettings(this.#object);
    const isNewSelf = self !== plan.self;
    if (isNewSelf) changeSettings(this.#object, { self: plan.self });
    this.#self = plan.self;
    const changed = this.#routes.apply(plan, dataPort, this.#underlay);
    return { changed: changed + (isNewSelf ? 1 : 0) };
  }

  /** Guards and accelerates a container's host-side link. Calling it again changes the policy. The link should still be switched off when
   *  this is called first. @throws {SystemError} ENODEV: no such link */
  attachPort(ifindex: number, policy: PortPolicy): void {
    const link = this.#underlay.links.get(ifindex);
    const before = this.#ports.policies().get(ifindex);
    this.#ports.set(ifindex, policy, link?.kind === "veth" && link.peerNetnsId !== undefined);
    // The MAC table says how a port's MACs are reached.
    if (before && (before.bypass ?? true) !== (policy.bypass ?? true)) this.#macs.forgetPort(ifindex, before.mac);
    for (const hook of portHooks(ifindex)) this.#hooks.ensure(hook);
  }

  /** Forgets the port and its MACs. Remove the link or switch it off before: without the programs nothing guards it. */
  detachPort(ifindex: number): void {
    const policy = this.#ports.policies().get(ifindex);
    this.#ports.remove(ifindex);
    this.#macs.forgetPort(ifindex, policy?.mac);
    for (const hook of portHooks(ifindex)) this.#hooks.detach(hook);
  }

  ports(): ReadonlyMap<number, PortPolicy> {
    return this.#ports.policies();
  }

  /** Where frames of other hosts arrive: there the relay short cut runs. Links that are not there or not Ethernet are left out. */
  setUnderlay(ifindexes: readonly number[]): void {
    const before = this.#watched;
    this.#watched = this.#underlay.watch(ifindexes);
    for (const ifindex of this.#watched) this.#hooks.ensure({ program: "underlay_ingress", ifindex });
    for (const ifindex of before)
      if (!this.#watched.includes(ifindex)) this.#hooks.detach({ program: "underlay_ingress", ifindex });
    this.#routes.refreshEndpoints(this.#underlay);
  }

  /** What comes in by this link came through WireGuard; undefined: there is none now. */
  setWireguard(ifindex: number | undefined): void {
    const before = this.#wireguard;
    this.#wireguard = ifindex;
    if (before !== undefined && before !== ifindex) this.#hooks.detach({ program: "wg_ingress", ifindex: before });
    if (ifindex !== undefined) this.#hooks.ensure({ program: "wg_ingress", ifindex });
  }

  /** Puts back what somebody removed (filters, links, a discipline in front of the VXLAN device) and looks the underlay's routes up again.
   *  Names what it repaired. */
  ensureAttached(): string[] {
    const repaired: string[] = [];
    for (const hook of this.#wantedHooks()) if (this.#repair(hook)) repaired.push(`${hook.program} at link ${hook.ifindex}`);
    const { links } = this.#underlay;
    const qdisc = links.foreignQdisc(this.#options.vxlanIfindex);
    // A queue there would send frames with the tunnel key of whichever frame came last on that CPU.
    if (qdisc !== undefined && links.deleteRootQdisc(this.#options.vxlanIfindex))
      repaired.push(`queueing discipline '${qdisc}' at the VXLAN device`);
    this.#underlay.watch(this.#watched);
    if (this.#routes.refreshEndpoints(this.#underlay) > 0) repaired.push("routes of the underlay");
    return repaired;
  }

  /** Sends a probe over one path; `frameBytes` is the length of the inner frame, Ethernet header included. A probe that cannot be sent is a
   *  lost one. */
  probe(neighbour: ShortId, path: Path, sequence: number, frameBytes = 0): void {
    if (this.#self === 0) return;
    this.#probes.sent(neighbour, sequence);
    const probe = { self: this.#self as ShortId, neighbour, sequence, frameBytes };
    if (path.kind === "sleeve") this.#sleeveProbes?.send(probe);
    else this.#probeSocket.send({ ...probe, address: path.address });
  }
  /** Answers since the last call. Poll it while probes are under way; it costs nothing otherwise. */
  probeReplies(): Iterable<ProbeReply> {
    return this.#probes.replies();
  }

  /** Frames a direct neighbour handed to us and we to it, probes included. */
  activity(neighbour: ShortId): { received: number; sent: number; sentBytes: number } {
    return this.#activity.of(neighbour);
  }

  counters(): SwitchCounters {
    const plan = this.read();
    const ids = [...(plan?.nextHops.keys() ?? []), ...(plan?.neighbours.keys() ?? []), SHORT_ID_FLOOD as ShortId];
    return readCounters(this.#object, new Set(ids));
  }

  /** The MAC table, entries that have aged left out. */
  macs(): LearnedMac[] {
    return this.#macs.list();
  }
  forgetMac(mac: Mac): void {
    this.#macs.forget(mac);
  }

  /** Detaches and unpins everything of ours; the object cannot be used afterwards. */
  remove(): void {
    detachAllTcx(linksFolder(this.#options.pinDir));
    const filtered = this.kind.attach === "tc" ? this.#underlay.indexes() : [...this.#ports.policies().keys()];
    detachAllTc(filtered);
    this.#underlay.removeEmptyClsacts(filtered);
    this[Symbol.dispose]();
    rmSync(this.#options.pinDir, { recursive: true, force: true });
  }

  /** Puts our programs wherever earlier ones are, and drops what belongs to links that are gone. */
  #takeOver(): void {
    const links = new Set(this.#underlay.indexes());
    for (const ifindex of [...this.#ports.policies().keys()]) if (!links.has(ifindex)) this.detachPort(ifindex);
    const found = this.#foundHooks();
    // Until somebody says otherwise WireGuard is where it was: without its mark all it carries would be dropped.
    this.#wireguard = found.find((hook) => hook.program === "wg_ingress" && links.has(hook.ifindex))?.ifindex;
    const wanted = this.#wantedHooks();
    const kept = (hook: Hook) => wanted.some((other) => other.program === hook.program && other.ifindex === hook.ifindex);
    const others = found.filter((hook) => !kept(hook));
    const underlay = others.filter((hook) => hook.program === "underlay_ingress" && links.has(hook.ifindex));
    for (const hook of others) if (!underlay.includes(hook)) this.#hooks.detach(hook);
    this.#watched = this.#underlay.watch(underlay.map((hook) => hook.ifindex));
    for (const hook of this.#wantedHooks()) this.#hooks.ensure(hook);
  }

  #foundHooks(): Hook[] {
    const { vxlanIfindex, sleeveIfindex = 0 } = this.#options;
    const guarded = new Set([vxlanIfindex, sleeveIfindex, ...this.#ports.policies().keys()]);
    const others = this.#underlay.links.list().filter((link) => !guarded.has(link.index));
    return this.#hooks.found(others);
  }

  #wantedHooks(): Hook[] {
    const { vxlanIfindex, sleeveIfindex } = this.#options;
    const sleeve: Hook[] =
      sleeveIfindex === undefined
        ? []
        : [
            { program: "sleeve_egress", ifindex: sleeveIfindex },
            { program: "sleeve_ingress", ifindex: sleeveIfindex },
          ];
    return [
      { program: "vx_ingress", ifindex: vxlanIfindex },
      { program: "vx_egress", ifindex: vxlanIfindex },
      ...sleeve,
      ...(this.#wireguard === undefined ? [] : [{ program: "wg_ingress", ifindex: this.#wireguard } as const]),
      ...[...this.#ports.policies().keys()].flatMap(portHooks),
      ...this.#watched.map((ifindex): Hook => ({ program: "underlay_ingress", ifindex })),
    ];
  }

  #repair(hook: Hook): boolean {
    try {
      return this.#hooks.ensure(hook) !== "kept";
    } catch (thrown) {
      if (isSystemError(thrown, "ENODEV", "EINVAL", "ENOENT")) return false; // the link is gone: whoever owns it notices
      if (isSystemError(thrown, "EEXIST")) return false; // unpinned a moment ago, which the kernel follows late: the next call finds it free
      throw thrown;
    }
  }
}

/** All links but containers' ports, which are on the bridge. */
function devicesOf(underlay: Underlay, { bridgeIfindex, vxlanIfindex, sleeveIfindex }: DatapathOptions): readonly number[] {
  const own = [vxlanIfindex, sleeveIfindex];
  return underlay.links.list().flatMap(({ index, master }) => (master === bridgeIfindex && !own.includes(index) ? [] : [index]));
}

function portHooks(ifindex: number): Hook[] {
  return [
    { program: "veth_ingress", ifindex },
    { program: "veth_egress", ifindex },
  ];
}

function writeSettings(object: BpfObject, options: DatapathOptions, dataPort: number, tuning: DatapathTuning): void {
  let flags = 0;
  if (tuning.bypass ?? true) flags |= SETTING_FLAG.BYPASS;
  if (tuning.unwrap ?? true) flags |= SETTING_FLAG.DECAP;
  changeSettings(object, {
    vxlanIfindex: options.vxlanIfindex,
    sleeveIfindex: options.sleeveIfindex ?? 0,
    flags,
    ttl: tuning.ttl ?? TTL,
    ageNs: BigInt(tuning.macAgeMs ?? MAC_AGE_MS) * NS_PER_MS,
    stampNs: BigInt(tuning.macStampMs ?? MAC_STAMP_MS) * NS_PER_MS,
    dataPort,
  });
  nextGeneration(object);
}
