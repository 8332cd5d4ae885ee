// SPDX-License-Identifier: Apache-2.0
// The kernel objects that carry frames, held together: bridge, VXLAN device, the switch on it, and where the switch meets the underlay.
// Opened at start, checked after kernel events and periodically; what it had to mend is told in words.
import { type EnsuredBridge, ensureBridge } from "../host/bridge.ts";
import type { BridgePlan } from "../host/bridge-plan.ts";
import { Datapath } from "../host/datapath.ts";
import { preparePins, removePins } from "../host/datapath-pins.ts";
import { type Link, Links } from "../host/links.ts";
import { ensureSleeveLink } from "../host/sleeve-link.ts";
import { hostAddresses, pathTo } from "../host/underlay.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import type { Switch } from "../overlay/carriers.ts";
import type { DatapathPlan } from "../overlay/plan.ts";
import type { Log } from "../runtime/log.ts";

/** Maps, programs and links of the switch live here, so it works while no daemon runs. */
export const PIN_DIRECTORY = "/sys/fs/bpf/weave";

/** What an underlay packet holds beyond the inner one. Clear: IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). In WireGuard, in front of
 *  that: IPv6 40, UDP 8, header and tag 32. IPv4 outside needs 20 less. */
const OVERHEAD_BYTES = { clear: 70, encrypted: 150 } as const;
const DEFAULT_UNDERLAY_MTU = 1500;

export interface KernelPlaneOptions {
  readonly bridge: string;
  /** UDP port of the fast datapath. */
  readonly dataPort: number;
  /** 0: the smallest underlay MTU less the overhead, the same whatever transport is used in the end, so that it is equal on all hosts. */
  readonly mtuBytes: number;
  /** Data may have to be encrypted, which needs room. */
  readonly encrypts: boolean;
  readonly mac: Mac;
  readonly pinDir: string;
  readonly log: Log;
}

interface Devices extends EnsuredBridge {
  /** The switch's end of the sleeve link. */
  readonly sleeveIndex: number;
}

export class KernelPlane implements Switch, Disposable {
  readonly links: Links;
  /** There was no bridge of ours before. */
  readonly isNew: boolean;
  readonly #isMtuAutomatic: boolean;
  #plan: BridgePlan;
  readonly #pinDir: string;
  readonly #log: Log;
  #devices: Devices;
  #datapath: Datapath;
  #wireguard: number | undefined;
  /** Neighbours' addresses -> index of the link that leads there; undefined: none does. */
  #ways = new Map<Ip, number | undefined>();

  /** @throws {UserError} a name or port is taken, or the kernel lacks something  @throws {SystemError} */
  constructor(options: KernelPlaneOptions) {
    this.links = Links.open();
    this.#pinDir = options.pinDir;
    this.#log = options.log;
    this.#isMtuAutomatic = options.mtuBytes === 0;
    const mtuBytes =
      options.mtuBytes || automaticMtu(this.links, options.bridge, OVERHEAD_BYTES[options.encrypts ? "encrypted" : "clear"]);
    const { bridge, dataPort, mac } = options;
    this.#plan = { bridge, vxlan: `vxlan-${dataPort}`, port: dataPort, mtuBytes, mac };
    preparePins(this.#pinDir); // what is missing here is told while nothing has been touched
    this.isNew = this.links.get(bridge) === undefined;
    using undo = new DisposableStack();
    if (this.isNew) undo.defer(() => removePins(this.#pinDir));
    this.#devices = this.#ensureDevices();
    if (this.isNew) undo.defer(() => this.#removeDevices());
    this.#datapath = this.#openDatapath();
    undo.move();
  }

  #removeDevices(): void {
    this.links.delete(this.#devices.sleeveIndex);
    this.links.delete(this.#devices.vxlanIndex);
    this.links.delete(this.#devices.bridgeIndex);
  }

  [Symbol.dispose](): void {
    this.#datapath[Symbol.dispose]();
    this.links[Symbol.dispose]();
  }

  /** Largest packet of our containers. */
  get mtuBytes(): number {
    return this.#plan.mtuBytes;
  }
  /** Makes room for encryption, unless there is enough, or the size was chosen by hand. True: it became smaller.
   *  @throws {SystemError} */
  encrypt(): boolean {
    if (!this.#isMtuAutomatic) return false;
    const mtuBytes = automaticMtu(this.links, this.#plan.bridge, OVERHEAD_BYTES.encrypted);
    if (mtuBytes >= this.#plan.mtuBytes) return false;
    this.#plan = { ...this.#plan, mtuBytes };
    this.repair();
    return true;
  }

  get datapath(): Datapath {
    return this.#datapath;
  }

  apply(plan: DatapathPlan): { readonly changed: number } {
    const applied = this.#datapath.apply(plan);
    const before = this.#underlay();
    const known = this.#ways;
    this.#ways = new Map();
    const addresses = [...plan.neighbours.values()].flatMap(({ accept }) =>
      accept.flatMap((path) => (path.kind === "fastdp" ? path.address : [])),
    );
    for (const address of addresses) {
      this.#ways.set(address, known.has(address) ? known.get(address) : pathTo(this.links, address)?.linkIndex);
    }
    if (this.#underlay().join() !== before.join()) this.#datapath.setUnderlay(this.#underlay());
    return applied;
  }

  probe(...probe: Parameters<Switch["probe"]>): void {
    this.#datapath.probe(...probe);
  }
  activity(...neighbour: Parameters<Switch["activity"]>): ReturnType<Switch["activity"]> {
    return this.#datapath.activity(...neighbour);
  }
  read(): DatapathPlan | undefined {
    return this.#datapath.read();
  }
  /** What every one of the host's own links takes. */
  narrowestMtuBytes(): number {
    return narrowestMtu(this.links, this.#plan.bridge);
  }
  /** Largest packet that any of the host's own links takes. */
  underlayMtuBytes(): number {
    return Math.max(DEFAULT_UNDERLAY_MTU, ...underlayLinks(this.links, this.#plan.bridge).map((link) => link.mtuBytes));
  }
  /** Index of WireGuard's link; undefined: there is none. */
  setWireguard(ifindex: number | undefined): void {
    this.#wireguard = ifindex;
    this.#datapath.setWireguard(ifindex);
  }

  /** Makes devices, programs and links what they should be. Returns what was repaired; `devicesChanged`: ports and routes must be put back too. */
  repair(): { readonly repaired: string[]; readonly devicesChanged: boolean } {
    const before = this.#devices;
    this.#devices = this.#ensureDevices();
    const repaired = [...this.#devices.repaired];
    const devicesChanged = (["vxlanIndex", "bridgeIndex", "sleeveIndex"] as const).some(
      (device) => before[device] !== this.#devices[device],
    );
    if (devicesChanged) {
      this.#datapath[Symbol.dispose]();
      this.#datapath = this.#openDatapath();
      this.#datapath.setWireguard(this.#wireguard);
    }
    repaired.push(...this.#datapath.ensureAttached());
    for (const address of this.#ways.keys()) this.#ways.set(address, pathTo(this.links, address)?.linkIndex);
    this.#datapath.setUnderlay(this.#underlay());
    return { repaired, devicesChanged };
  }

  #ensureDevices(): Devices {
    const { repaired, ...bridge } = ensureBridge(this.links, this.#plan);
    const sleeve = ensureSleeveLink(this.links, this.#plan.mac);
    return { ...bridge, sleeveIndex: sleeve.ifindex, repaired: [...repaired, ...sleeve.repaired] };
  }
  #openDatapath(): Datapath {
    const { bridgeIndex, vxlanIndex, sleeveIndex } = this.#devices;
    return Datapath.open({
      bridgeIfindex: bridgeIndex,
      vxlanIfindex: vxlanIndex,
      sleeveIfindex: sleeveIndex,
      pinDir: this.#pinDir,
      log: this.#log,
    });
  }

  /** Where frames from neighbours come in: there the relay accelerator sits. */
  #underlay(): number[] {
    return [...new Set(this.#ways.values())].filter((index) => index !== undefined).sort((a, b) => a - b);
  }
}

/** Links of the host that have addresses and are not ours. */
function underlayLinks(links: Links, bridge: string): Link[] {
  const names = new Set(hostAddresses(links, bridge).map((address) => address.linkName));
  return links.list().filter((link) => names.has(link.name));
}

function narrowestMtu(links: Links, bridge: string): number {
  const all = underlayLinks(links, bridge).map((link) => link.mtuBytes);
  return all.length === 0 ? DEFAULT_UNDERLAY_MTU : Math.min(...all);
}

function automaticMtu(links: Links, bridge: string, overheadBytes: number): number {
  return narrowestMtu(links, bridge) - overheadBytes;
}
