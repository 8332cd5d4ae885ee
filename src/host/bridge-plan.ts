// SPDX-License-Identifier: Apache-2.0
// The bridge `weave` and its VXLAN port as they should be, and the steps that lead there from what is. Pure; `bridge.ts` looks and acts.
//
//   containers ── veths ──┐
//                       weave (a plain switch) ── vxlan-6784 ── UDP 6784, addresses and VNI from the BPF programs on it
import type { BridgeOptions, PortOptions } from "../../native/netlink/link-change.ts";
import { type Mac, macFromNumber } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link } from "./links.ts";

export interface BridgePlan {
  /** Name of the bridge, `weave`. */
  readonly bridge: string;
  /** Name of the VXLAN device, `vxlan-6784`. */
  readonly vxlan: string;
  /** UDP port of the VXLAN device. */
  readonly port: number;
  readonly mtuBytes: number;
  /** Of the bridge; the VXLAN device gets one derived from it. */
  readonly mac: Mac;
}

/** Learned addresses the bridge keeps at most: the size of the BPF programs' MAC table, so neither forgets before the other. */
export const FDB_MAX_LEARNED = 65_536;

const BRIDGE_OPTIONS = {
  stp: false,
  multicastSnooping: false, // a plain switch: groups go everywhere, also before anybody reported a membership
  fdbMaxLearned: FDB_MAX_LEARNED,
} as const satisfies BridgeOptions;

const VXLAN_PORT_OPTIONS = {
  hairpin: false, // would send every flooded frame back into the mesh
  isolated: false,
  learning: true, // so that the bridge path knows which MACs are remote
  unicastFlood: true,
  multicastFlood: true,
  broadcastFlood: true,
  neighbourSuppression: false,
} as const satisfies PortOptions;

/** What is there now; undefined: no link of that name. */
export interface BridgeSeen {
  readonly bridge: Link | undefined;
  readonly vxlan: Link | undefined;
  /** What the VXLAN device belongs to now. */
  readonly vxlanMaster: Link | undefined;
  /** VXLAN ports of ours under another name: of a daemon that used another UDP port. */
  readonly strays: readonly Link[];
}

type Target = "bridge" | "vxlan";
/** One thing to do, in this order; `why` is for the log. */
export type BridgeStep = { readonly why: string } & (
  | { readonly do: "create-bridge"; readonly options: BridgeOptions }
  | { readonly do: "bridge-options"; readonly options: BridgeOptions }
  | { readonly do: "delete-stray"; readonly index: number }
  | { readonly do: "delete-vxlan" }
  | { readonly do: "create-vxlan"; readonly mac: Mac }
  | { readonly do: "enslave-vxlan" }
  | { readonly do: "port-options"; readonly options: PortOptions }
  | { readonly do: "addressless"; readonly target: Target }
  | { readonly do: "mac"; readonly target: Target; readonly mac: Mac }
  | { readonly do: "mtu"; readonly target: Target }
  | { readonly do: "delete-qdisc" }
  | { readonly do: "up"; readonly target: Target }
);

/** Empty when nothing is to be done. @throws {UserError} a link of another kind has the name */
export function planBridge(plan: BridgePlan, seen: BridgeSeen): BridgeStep[] {
  refuseOtherKind(plan.bridge, "bridge", seen.bridge);
  refuseOtherKind(plan.vxlan, "vxlan", seen.vxlan);
  refuseDatapath(plan.vxlan, seen.vxlanMaster);
  return [...seen.strays.map(straySteps), ...bridgeSteps(plan, seen.bridge), ...vxlanSteps(plan, seen)];
}

/** What is ours among the VXLAN devices of the namespace. */
export function findBridge(
  plan: BridgePlan,
  bridge: Link | undefined,
  named: Link | undefined,
  others: { readonly vxlans: readonly Link[]; readonly vxlanMaster: Link | undefined },
): BridgeSeen {
  const isPort = (link: Link): boolean => bridge !== undefined && link.master === bridge.index;
  const strays = others.vxlans.filter((link) => link.name !== plan.vxlan && isPort(link) && isVxlanOfOurs(link));
  return { bridge, vxlan: named, vxlanMaster: others.vxlanMaster, strays };
}

/** By its name and mode, whatever its UDP port. */
export function isVxlanOfOurs(link: Link): boolean {
  return link.vxlan?.external === true && /^vxlan-\d+$/.test(link.name);
}

function straySteps(stray: Link): BridgeStep {
  return { do: "delete-stray", index: stray.index, why: `VXLAN device '${stray.name}' was left over` };
}

/** A second unicast address that differs from the bridge's in one bit. */
export function vxlanMac(bridge: Mac): Mac {
  const last = bridge % 256;
  return macFromNumber(bridge - last + (last ^ 0x80));
}

function bridgeSteps(plan: BridgePlan, bridge: Link | undefined): BridgeStep[] {
  const target = "bridge";
  const name = `bridge '${plan.bridge}'`;
  if (bridge === undefined) {
    const why = `${name} was missing`;
    return [
      { do: "create-bridge", options: BRIDGE_OPTIONS, why },
      // Not in the creating message: only a changed MTU counts as chosen by hand, and any other follows the ports' (br_if.c).
      { do: "mtu", target, why },
      { do: "addressless", target, why },
      { do: "up", target, why },
    ];
  }
  const steps: BridgeStep[] = [];
  if (differs(BRIDGE_OPTIONS, bridge.bridge))
    steps.push({ do: "bridge-options", options: BRIDGE_OPTIONS, why: `${name} had other options` });
  // Not among the options: a kernel without VLAN filtering refuses to be told to switch it off.
  if (bridge.bridge?.vlanFiltering) {
    steps.push({ do: "bridge-options", options: { vlanFiltering: false }, why: `${name} filtered VLANs` });
  }
  if (bridge.mac !== plan.mac) steps.push({ do: "mac", target, mac: plan.mac, why: `${name} had another MAC` });
  steps.push(...mtuAndAddressSteps(plan, name, target, bridge));
  if (!bridge.up) steps.push({ do: "up", target, why: `${name} was down` });
  return steps;
}

function vxlanSteps(plan: BridgePlan, seen: BridgeSeen): BridgeStep[] {
  const name = `VXLAN device '${plan.vxlan}'`;
  const { vxlan } = seen;
  if (vxlan === undefined) return newVxlanSteps(plan, `${name} was missing`);
  // The kernel refuses to change external mode, port or checksum rule of an existing device (seen on 6.18), so it is replaced.
  if (!isOurVxlan(plan, vxlan)) {
    return [{ do: "delete-vxlan", why: `${name} had other tunnel settings` }, ...newVxlanSteps(plan, `${name} is made anew`)];
  }
  const target = "vxlan";
  const steps: BridgeStep[] = [];
  if (seen.bridge === undefined || vxlan.master !== seen.bridge.index) {
    steps.push({ do: "enslave-vxlan", why: `${name} was no port of '${plan.bridge}'` });
  }
  if (steps.at(-1)?.do === "enslave-vxlan" || differs(VXLAN_PORT_OPTIONS, vxlan.port)) {
    steps.push({ do: "port-options", options: VXLAN_PORT_OPTIONS, why: `${name} had other port options` });
  }
  steps.push(...mtuAndAddressSteps(plan, name, target, vxlan));
  if (hasForeignQdisc(vxlan)) steps.push({ do: "delete-qdisc", why: `${name} had the queueing discipline '${vxlan.qdisc}'` });
  if (!vxlan.up) steps.push({ do: "up", target, why: `${name} was down` });
  return steps;
}

// Below 1280 bytes a link has no IPv6; raised above, it starts anew with the kernel's defaults.
function mtuAndAddressSteps(plan: BridgePlan, name: string, target: Target, link: Link): BridgeStep[] {
  const steps: BridgeStep[] = [];
  const why = `${name} had MTU ${link.mtuBytes}`;
  if (link.mtuBytes !== plan.mtuBytes) steps.push({ do: "mtu", target, why });
  if (!link.addressless) steps.push({ do: "addressless", target, why: `${name} gave itself IPv6 addresses` });
  else if (link.mtuBytes < 1280 && plan.mtuBytes >= 1280) steps.push({ do: "addressless", target, why });
  return steps;
}

function newVxlanSteps(plan: BridgePlan, why: string): BridgeStep[] {
  return [
    { do: "create-vxlan", mac: vxlanMac(plan.mac), why },
    { do: "addressless", target: "vxlan", why },
    { do: "port-options", options: VXLAN_PORT_OPTIONS, why },
    { do: "up", target: "vxlan", why },
  ];
}

function isOurVxlan(plan: BridgePlan, { vxlan }: Link): boolean {
  return vxlan?.external === true && !vxlan.learning && vxlan.udp6ZeroChecksumRx && vxlan.port === plan.port;
}

// A VXLAN device queues nothing by itself: `noqueue`, or `noop` before it is switched on.
function hasForeignQdisc(link: Link): boolean {
  return !["noqueue", "noop", ""].includes(link.qdisc);
}

// An option the kernel does not report (fdbMaxLearned before 6.7) cannot differ.
function differs<Options extends object>(
  wanted: Options,
  seen: { readonly [Key in keyof Options]?: unknown } | undefined,
): boolean {
  if (seen === undefined) return true;
  return (Object.keys(wanted) as (keyof Options)[]).some((key) => seen[key] !== undefined && seen[key] !== wanted[key]);
}

function refuseOtherKind(name: string, kind: string, link: Link | undefined): void {
  if (link === undefined || link.kind === kind) return;
  const found = link.kind === "" ? "a hardware interface" : `of kind '${link.kind}'`;
  throw new UserError(
    "conflict",
    `link '${name}' exists and is ${found}, not a ${kind}`,
    `remove it with 'ip link delete ${name}', or with the program that made it, and try again`,
  );
}

// The kernel would not let it go, and whoever runs there would lose its network.
function refuseDatapath(name: string, master: Link | undefined): void {
  if (master?.kind !== "openvswitch") return;
  throw new UserError(
    "conflict",
    `the VXLAN device '${name}' belongs to the Open vSwitch datapath '${master.name}', as Weave Net 2 makes one`,
    "run its own 'weave reset', or 'ip link delete datapath' when it does not run any more, and try again",
  );
}
