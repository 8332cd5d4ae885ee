// SPDX-License-Identifier: Apache-2.0
// The kernel objects that carry frames, held together: bridge, VXLAN device, the switch on it, and where the switch meets the underlay.
// Opened at start, checked after kernel events and periodically; what it had to mend is told in words.
import { type EnsuredBridge, ensureBridge } from "../host/bridge.ts";
import type { BridgePlan } from "../host/bridge-plan.ts";
import { Datapath } from "../host/datapath.ts";
import { preparePins, removePins } from "../host/datapath-pins.ts";
import { Links } from "../host/links.ts";
import { hostAddresses, pathTo } from "../host/underlay.ts";
import type { Ip } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import type { Switch } from "../overlay/paths.ts";
import type { DatapathPlan } from "../overlay/plan.ts";
import type { Log } from "../runtime/log.ts";

/** Maps, programs and links of the switch live here, so it works while no daemon runs. */
export const PIN_DIRECTORY = "/sys/fs/bpf/weave";

/** Outer Ethernet payload beyond the inner packet: IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348). IPv4 needs 20 less. */
const OVERHEAD_BYTES = 70;
const DEFAULT_UNDERLAY_MTU = 1500;

export interface KernelPlaneOptions {
  readonly bridge: string;
  /** UDP port of the fast datapath. */
  readonly dataPort: number;
  /** 0: the smallest underlay MTU less the overhead. */
  readonly mtuBytes: number;
  readonly mac: Mac;
  readonly pinDir: string;
  readonly log: Log;
}

export class KernelPlane implements Switch, Disposable {
  readonly links: Links;
  readonly mtuBytes: number;
  /** There was no bridge of ours before. */
  readonly isNew: boolean;
  readonly #plan: BridgePlan;
  readonly #pinDir: string;
  readonly #log: Log;
  #devices: EnsuredBridge;
  #datapath: Datapath;
  /** Neighbours' addresses -> index of the link that leads there; undefined: none does. */
  #ways = new Map<Ip, number | undefined>();

  /** @throws {UserError} a name or port is taken, or the kernel lacks something  @throws {SystemError} */
  constructor(options: KernelPlaneOptions) {
    this.links = Links.open();
    this.#pinDir = options.pinDir;
    this.#log = options.log;
    this.mtuBytes = options.mtuBytes || automaticMtu(this.links, options.bridge);
    const { bridge, dataPort, mac } = options;
    this.#plan = { bridge, vxlan: `vxlan-${dataPort}`, port: dataPort, mtuBytes: this.mtuBytes, mac };
    preparePins(this.#pinDir); // what is missing here is told while nothing has been touched
    this.isNew = this.links.get(bridge) === undefined;
    using undo = new DisposableStack();
    if (this.isNew) undo.defer(() => removePins(this.#pinDir));
    this.#devices = ensureBridge(this.links, this.#plan);
    if (this.isNew) undo.defer(() => this.#removeDevices());
    this.#datapath = this.#openDatapath();
    undo.move();
  }

  #removeDevices(): void {
    this.links.delete(this.#devices.vxlanIndex);
    this.links.delete(this.#devices.bridgeIndex);
  }

  [Symbol.dispose](): void {
    this.#datapath[Symbol.dispose]();
    this.links[Symbol.dispose]();
  }

  get datapath(): Datapath {
    return this.#datapath;
  }

  apply(plan: DatapathPlan): { readonly changed: number } {
    const applied = this.#datapath.apply(plan);
    const before = this.#underlay();
    const known = this.#ways;
    this.#ways = new Map();
    for (const { address } of plan.neighbours.values()) {
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

  /** Makes devices, programs and links what they should be. Returns what was repaired; `devicesChanged`: ports and routes must be put back too. */
  repair(): { readonly repaired: string[]; readonly devicesChanged: boolean } {
    const before = this.#devices;
    this.#devices = ensureBridge(this.links, this.#plan);
    const repaired = [...this.#devices.repaired];
    const devicesChanged = before.vxlanIndex !== this.#devices.vxlanIndex || before.bridgeIndex !== this.#devices.bridgeIndex;
    if (devicesChanged) {
      this.#datapath[Symbol.dispose]();
      this.#datapath = this.#openDatapath();
    }
    repaired.push(...this.#datapath.ensureAttached());
    for (const address of this.#ways.keys()) this.#ways.set(address, pathTo(this.links, address)?.linkIndex);
    this.#datapath.setUnderlay(this.#underlay());
    return { repaired, devicesChanged };
  }

  #openDatapath(): Datapath {
    const { bridgeIndex, vxlanIndex } = this.#devices;
    return Datapath.open({ bridgeIfindex: bridgeIndex, vxlanIfindex: vxlanIndex, pinDir: this.#pinDir, log: this.#log });
  }

  /** Where frames from neighbours come in: there the relay accelerator sits. */
  #underlay(): number[] {
    return [...new Set(this.#ways.values())].filter((index) => index !== undefined).sort((a, b) => a - b);
  }
}

function automaticMtu(links: Links, bridge: string): number {
  const names = new Set(hostAddresses(links, bridge).map((address) => address.linkName));
  const underlay = links.list().filter((link) => names.has(link.name));
  const smallest = underlay.reduce((least, link) => Math.min(least, link.mtuBytes), Number.POSITIVE_INFINITY);
  return (Number.isFinite(smallest) ? smallest : DEFAULT_UNDERLAY_MTU) - OVERHEAD_BYTES;
}
