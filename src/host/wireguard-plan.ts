// SPDX-License-Identifier: Apache-2.0
// WireGuard's link as it should be, with its address and everything that decides where packets for inside addresses go, and the steps that lead
// there from what is. Pure; `wireguard-link.ts` looks and acts. Peers are `overlay/wireguard/peers.ts`.
//
// NOTHING FOR AN INSIDE ADDRESS MAY LEAVE BY ANY OTHER LINK. It would be clear VXLAN. A route through the link is not enough: it goes with the
// link, and then the default route would do. So two locks stand in front of all other routes, each closed without the other:
//
//   rule 678   to the prefix, from this host   ──▶ table 6785: the prefix through weave-wg, nothing else
//   rule 679   to the prefix, from anybody     ──▶ unreachable
//   main table, prefix, worst metric           ──▶ unreachable
//
// - Created: locks first, key and peers next, the way in last. Before the way is there, packets end at a lock. A link without the
//   right peer drops what it gets, so an open way is never a leak either.
// - Link deleted, switched off, IPv6 switched off on it: the kernel takes the route from table 6785 in the same step; packets end at rule 679.
// - Routes flushed, also both tables at once: the rules stand. IPv6 switched off and on for all links flushes the routes of all of them: the same.
// - Rules flushed: the route in the main table stands, and is more specific than a default route. What stays open is that somebody
//   removes rules and route together, or puts a rule of his own in front: no accident.
// - Daemon ended, killed, upgraded: all of this is the kernel's and stays. A daemon that starts puts the locks back before it touches anything else.
// - Reset: the switch goes first (it alone sends to inside addresses), then the link, and the locks last.
// - Packets that others route through this host match rule 679 only: a container cannot reach the peers' VXLAN ports through WireGuard.
// The switch looks each packet's route up anew (TUNNEL_NOCACHE of bpf_skb_set_tunnel_key), so no cached way outlives a lock.
import { type Cidr, cidrContains, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { INSIDE_PREFIX } from "../overlay/wireguard/inside.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link } from "./links.ts";
import type { Route, RoutePlan } from "./routes.ts";
import type { Rule } from "./rules.ts";

export const WIREGUARD_LINK = "weave-wg";
/** Below the rules of VPNs that take all packets (wg-quick 32764, Tailscale 5210), which would take these too. */
const RULE_PRIORITY = 678;
const WAY_TABLE = 6785;
const MAIN_TABLE = 254;
const WORST_METRIC = 2 ** 32 - 1;
/** What IPv6 needs; less would switch it off on the link. */
const LEAST_MTU = 1280;
/** Outer IPv6 40, UDP 8, WireGuard header 16, tag 16. */
const OVERHEAD_BYTES = 80;

export interface WireguardLinkPlan {
  /** UDP. */
  readonly port: number;
  /** Our own inside address. */
  readonly inside: Ip;
  readonly mtuBytes: number;
}

/** Of the link over an underlay with this MTU. On a narrower one than IPv6 allows for, outer packets are fragmented. */
export function wireguardMtu(underlayMtuBytes: number): number {
  return Math.max(LEAST_MTU, underlayMtuBytes - OVERHEAD_BYTES);
}

export const LOCK_RULES: readonly Rule[] = [
  { priority: RULE_PRIORITY, destination: INSIDE_PREFIX, inLink: "lo", table: WAY_TABLE },
  { priority: RULE_PRIORITY + 1, destination: INSIDE_PREFIX, inLink: "", table: undefined },
];
export const LOCK_ROUTE: RoutePlan = { destination: INSIDE_PREFIX, linkIndex: undefined, metric: WORST_METRIC };

/** The way in. */
export function wayThrough(linkIndex: number): RoutePlan {
  return { destination: INSIDE_PREFIX, linkIndex, table: WAY_TABLE };
}

/** What is there now. */
export interface WireguardSeen {
  readonly link: Link | undefined;
  readonly rules: readonly Rule[];
  readonly routes: readonly Route[];
  /** Of the link. */
  readonly addresses: readonly Cidr[];
  /** The kernel takes packets for our inside address: whoever flushes all routes takes that too, and leaves the address. */
  readonly isLocal: boolean;
  /** It has the right key, and listens on this port; undefined: there is no link. */
  readonly device: { readonly hasKey: boolean; readonly port: number } | undefined;
}

/** One thing to do, in this order; `why` is for the log. */
export type WireguardStep = { readonly why: string } & (
  | { readonly do: "lock-rule"; readonly rule: Rule }
  | { readonly do: "lock-route" }
  | { readonly do: "create" }
  | { readonly do: "key" }
  | { readonly do: "port" }
  | { readonly do: "mtu" }
  | { readonly do: "addressless" }
  | { readonly do: "up" }
  | { readonly do: "remove-address"; readonly cidr: Cidr }
  | { readonly do: "address"; readonly cidr: Cidr }
  | { readonly do: "way" }
);

/** Empty when nothing is to be done. @throws {UserError} a link of another kind has the name */
export function planWireguardLink(plan: WireguardLinkPlan, seen: WireguardSeen): WireguardStep[] {
  refuseOtherKind(seen.link);
  return [...lockSteps(seen), ...deviceSteps(plan, seen), ...addressSteps(plan, seen), ...waySteps(seen)];
}

function lockSteps({ rules, routes }: WireguardSeen): WireguardStep[] {
  const prefix = formatCidr(INSIDE_PREFIX);
  const missing = LOCK_RULES.filter((rule) => !rules.some((other) => isSameRule(rule, other)));
  const steps = missing.map((rule): WireguardStep => {
    return { do: "lock-rule", rule, why: `routing rule ${rule.priority} for ${prefix} was missing` };
  });
  const isLocked = ({ table, destination, metric, linkIndex }: Route): boolean =>
    table === MAIN_TABLE && isSameNetwork(destination) && metric === WORST_METRIC && linkIndex === undefined;
  if (!routes.some(isLocked)) steps.push({ do: "lock-route", why: `the unreachable route for ${prefix} was missing` });
  return steps;
}

function deviceSteps(plan: WireguardLinkPlan, { link, device }: WireguardSeen): WireguardStep[] {
  const name = `link '${WIREGUARD_LINK}'`;
  if (link === undefined || device === undefined) {
    const why = `${name} was missing`;
    return (["create", "key", "port", "addressless", "up"] as const).map((step) => ({ do: step, why }));
  }
  const steps: WireguardStep[] = [];
  if (!device.hasKey) steps.push({ do: "key", why: `${name} had another key` });
  if (device.port !== plan.port) steps.push({ do: "port", why: `${name} listened on UDP ${device.port}` });
  if (link.mtuBytes !== plan.mtuBytes) steps.push({ do: "mtu", why: `${name} had MTU ${link.mtuBytes}` });
  if (!link.addressless) steps.push({ do: "addressless", why: `${name} gave itself IPv6 addresses` });
  if (!link.up) steps.push({ do: "up", why: `${name} was down` });
  return steps;
}

function addressSteps({ inside }: WireguardLinkPlan, { addresses, isLocal }: WireguardSeen): WireguardStep[] {
  const own = { address: inside, prefixLength: 128 };
  const isOwn = (cidr: Cidr): boolean => cidr.address === inside && cidr.prefixLength === 128;
  const others = addresses.filter((cidr) => !isOwn(cidr) && cidrContains(INSIDE_PREFIX, cidr.address));
  const steps = others.map((cidr): WireguardStep => {
    return { do: "remove-address", cidr, why: `${formatCidr(cidr)} is not an address of this host` };
  });
  if (!addresses.some(isOwn)) steps.push({ do: "address", cidr: own, why: `its address ${inside} was missing` });
  else if (!isLocal) steps.push({ do: "address", cidr: own, why: `its address ${inside} was not in use` });
  return steps;
}

function waySteps({ link, routes }: WireguardSeen): WireguardStep[] {
  const isThere = routes.some(
    ({ destination, linkIndex, table }) => table === WAY_TABLE && linkIndex === link?.index && isSameNetwork(destination),
  );
  return link !== undefined && isThere ? [] : [{ do: "way", why: `the route through '${WIREGUARD_LINK}' was missing` }];
}

function isSameRule(a: Rule, b: Rule): boolean {
  return a.priority === b.priority && isSameNetwork(b.destination) && a.inLink === b.inLink && a.table === b.table;
}
function isSameNetwork({ address, prefixLength }: Cidr): boolean {
  return address === INSIDE_PREFIX.address && prefixLength === INSIDE_PREFIX.prefixLength;
}

function refuseOtherKind(link: Link | undefined): void {
  if (link === undefined || link.kind === "wireguard") return;
  const found = link.kind === "" ? "a hardware interface" : `of kind '${link.kind}'`;
  throw new UserError(
    "conflict",
    `link '${WIREGUARD_LINK}' exists and is ${found}, not of WireGuard`,
    `remove it with 'ip link delete ${WIREGUARD_LINK}', or with the program that made it`,
  );
}
