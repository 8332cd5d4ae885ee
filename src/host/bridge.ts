// SPDX-License-Identifier: Apache-2.0
// Makes the bridge and its VXLAN port what `bridge-plan.ts` says, and removes all of it. Called at start, after kernel events and
// periodically; does nothing when everything is right.
import { isSystemError, type SystemError } from "../../native/errno.ts";
import { UserError } from "../runtime/errors.ts";
import { type BridgePlan, type BridgeStep, findBridge, isVxlanOfOurs, planBridge } from "./bridge-plan.ts";
import type { Link, Links } from "./links.ts";
import type { Netns } from "./netns.ts";
import { ensureSysctl, HeldSysctl } from "./sysctl.ts";

export interface EnsuredBridge {
  readonly bridgeIndex: number;
  readonly vxlanIndex: number;
  /** What was not as it should be and now is; empty when nothing was done. */
  readonly repaired: readonly string[];
}

/** `netns` is the one of `links` when that is not the calling thread's. Settings the kernel can change are changed in place, so frames keep
 *  flowing; otherwise the device is made anew.
 *  @throws {UserError} the name or the UDP port is taken by something else, or the kernel lacks a kind of link  @throws {SystemError} */
export function ensureBridge(links: Links, plan: BridgePlan, netns?: Netns): EnsuredBridge {
  const vxlans = links.list({ kind: "vxlan" });
  const vxlan = links.get(plan.vxlan);
  const vxlanMaster = vxlan?.master ? links.get(vxlan.master) : undefined;
  const seen = findBridge(plan, links.get(plan.bridge), vxlan, { vxlans, vxlanMaster });
  const steps = planBridge(plan, seen);
  try {
    for (const step of steps) apply(links, plan, step);
  } catch (thrown) {
    // Nothing half done: what was not there before goes again.
    if (seen.vxlan === undefined) links.delete(plan.vxlan);
    if (seen.bridge === undefined) links.delete(plan.bridge);
    throw thrown;
  }
  const settings = ensureBridgeSysctls(plan.bridge, netns);
  const reasons = [...steps.map((step) => step.why), ...(seen.bridge === undefined ? [] : settings)];
  return {
    bridgeIndex: existing(links, plan.bridge).index,
    vxlanIndex: existing(links, plan.vxlan).index,
    repaired: [...new Set(reasons)],
  };
}

/** Deletes the bridge, its VXLAN ports named like ours and every `vethwe…` pair, and tells their names. Links of other kinds stay, even under
 *  our names. */
export function removeBridge(links: Links, bridge = "weave"): string[] {
  const all = links.list();
  const bridgeIndex = all.find((link) => link.name === bridge && link.kind === "bridge")?.index;
  const isOurs = (link: Link): boolean =>
    (link.kind === "veth" && /^vethw[el]/.test(link.name)) || isVxlanOfOurs(link) || link.index === bridgeIndex;
  return all.filter((link) => isOurs(link) && links.delete(link.index)).map((link) => link.name);
}

function apply(links: Links, plan: BridgePlan, step: BridgeStep): void {
  const index = (target: "bridge" | "vxlan"): number => existing(links, plan[target]).index;
  switch (step.do) {
    case "create-bridge": {
      const bridge = { name: plan.bridge, mac: plan.mac };
      explained(plan, links, () => links.createBridge(bridge, step.options));
      break;
    }
    case "bridge-options":
      links.setBridgeOptions(index("bridge"), step.options);
      break;
    case "delete-stray":
      links.delete(step.index);
      break;
    case "delete-vxlan":
      links.delete(plan.vxlan);
      break;
    case "create-vxlan": {
      const device = { name: plan.vxlan, mac: step.mac, mtuBytes: plan.mtuBytes, master: index("bridge") };
      explained(plan, links, () => links.createExternalVxlan(device, plan.port));
      break;
    }
    case "enslave-vxlan":
      links.change(index("vxlan"), { master: index("bridge") });
      break;
    case "port-options":
      links.setPortOptions(index("vxlan"), step.options);
      break;
    case "addressless":
      withoutAddresses(links, index(step.target));
      break;
    case "mac":
      links.change(index(step.target), { mac: step.mac });
      break;
    case "mtu":
      links.change(index(step.target), { mtuBytes: plan.mtuBytes });
      break;
    case "delete-qdisc":
      links.deleteRootQdisc(index("vxlan"));
      break;
    case "up":
      explained(plan, links, () => links.change(index(step.target), { up: true }));
      break;
    default:
      step satisfies never;
  }
}

// Those the kernel gave before it was told not to go too; they are link-local.
function withoutAddresses(links: Links, index: number): void {
  links.setAddressless(index);
  for (const { cidr, scope } of links.addresses(index)) if (scope === 253) links.deleteAddress(index, cidr);
}

// Neighbour probing as on the containers' interfaces: a moved address is noticed in seconds.
function bridgeSysctls(bridge: string): readonly (readonly [path: string, value: number])[] {
  return [
    [`net/ipv6/conf/${bridge}/accept_ra`, 0], // no container becomes this host's router
    [`net/ipv4/neigh/${bridge}/base_reachable_time_ms`, 5000],
    [`net/ipv4/neigh/${bridge}/delay_first_probe_time`, 2],
    [`net/ipv4/neigh/${bridge}/ucast_solicit`, 1],
  ];
}
function ensureBridgeSysctls(bridge: string, netns: Netns | undefined): string[] {
  const changed = bridgeSysctls(bridge).filter(([path, value]) => ensureSysctl(path, value, netns));
  return changed.map(([path]) => `${path} had another value`);
}

/** The same settings, for whoever looks at them often. */
export class BridgeSettings implements Disposable {
  readonly #settings: readonly { readonly held: HeldSysctl; readonly value: string }[];

  /** In the namespace the thread is in at the first look; a bridge made anew is found in that of a later one. */
  constructor(bridge: string) {
    this.#settings = bridgeSysctls(bridge).map(([path, value]) => ({ held: new HeldSysctl(path), value: String(value) }));
  }
  [Symbol.dispose](): void {
    for (const { held } of this.#settings) held[Symbol.dispose]();
  }

  /** A setting that is not there cannot be wrong. */
  areRight(): boolean {
    return this.#settings.every(({ held, value }) => {
      const now = held.read();
      return now === undefined || now === value;
    });
  }
}

function existing(links: Links, name: string): Link {
  const link = links.get(name);
  if (link === undefined) throw new UserError("unavailable", `link '${name}' was removed while it was set up`, "try again");
  return link;
}

function explained(plan: BridgePlan, links: Links, make: () => unknown): void {
  try {
    make();
  } catch (thrown) {
    if (!isSystemError(thrown)) throw thrown;
    throw explanationOf(plan, links, thrown) ?? thrown;
  }
}

function explanationOf(plan: BridgePlan, links: Links, refusal: SystemError): UserError | undefined {
  const port = `UDP port ${plan.port}`;
  if (refusal.code === "EADDRINUSE" || refusal.code === "EEXIST") {
    const holder = links.list().find((link) => link.name !== plan.vxlan && link.vxlan?.port === plan.port);
    if (holder !== undefined) {
      const hint = `remove it with 'ip link delete ${holder.name}', or choose another port`;
      return conflict(`cannot set up '${plan.vxlan}': ${port} belongs to the VXLAN device '${holder.name}'`, hint, refusal);
    }
  }
  if (refusal.code === "EADDRINUSE") {
    const hint = "find it with 'ss -lunp', or choose another port";
    return conflict(`cannot set up '${plan.vxlan}': ${port} is in use by another program`, hint, refusal);
  }
  if (refusal.code === "EOPNOTSUPP" && refusal.call === "RTM_NEWLINK") {
    const message = `cannot make '${refusal.object}': this kernel lacks that kind of link (${refusal.message})`;
    return new UserError("unavailable", message, "load the modules with 'modprobe -a bridge vxlan veth'", { cause: refusal });
  }
  return undefined;
}

function conflict(message: string, hint: string, cause: SystemError): UserError {
  return new UserError("conflict", message, hint, { cause });
}
