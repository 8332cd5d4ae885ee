// SPDX-License-Identifier: Apache-2.0
// The container's end of a pair: settings, addresses, switched on, and the multicast route as the very last step, because programs that wait for
// the network take it as the sign that all is there. Each function changes only what differs and says what that was.
import type { GuestLink, VethPlan } from "../attach/ports.ts";
import { formatCidr, parseCidr } from "../net/cidr.ts";
import { isIpv6 } from "../net/ip.ts";
import type { Link, Links } from "./links.ts";
import { ensureSysctl } from "./sysctl.ts";

const MULTICAST = parseCidr("224.0.0.0/4")!; // a valid literal
const SCOPE_GLOBAL = 0; // linux/rtnetlink.h, RT_SCOPE_UNIVERSE

/** Containers come and go with their addresses, so a neighbour's MAC is doubted soon and checked with one probe. */
const NEIGHBOUR_SETTINGS = { base_reachable_time_ms: 5000, delay_first_probe_time: 2, ucast_solicit: 1 } as const;

/** Of a link of the calling thread's namespace. */
export function tuneGuest(link: string, withIpv6: boolean): void {
  for (const family of ["ipv4", "ipv6"]) {
    for (const [name, value] of Object.entries(NEIGHBOUR_SETTINGS)) {
      ensureSysctl(`net/${family}/neigh/${link}/${name}`, value);
    }
  }
  // No rogue router may give the container addresses or routes. Our MACs and addresses are unique by construction: no waiting for duplicates.
  ensureSysctl(`net/ipv6/conf/${link}/accept_ra`, 0);
  ensureSysctl(`net/ipv6/conf/${link}/accept_dad`, 0);
  // Container runtimes switch IPv6 off by default; whoever asks for an IPv6 address wants it on.
  if (withIpv6) ensureSysctl(`net/ipv6/conf/${link}/disable_ipv6`, 0);
}

export function ensureAddresses(guest: Links, link: Link, plan: VethPlan, step: (step: string) => void): string[] {
  const changes: string[] = [];
  for (const cidr of plan.absent) {
    step(`remove address ${formatCidr(cidr)}`);
    if (guest.deleteAddress(link.index, cidr)) changes.push(`address ${formatCidr(cidr)} removed`);
  }
  const present = new Set(guest.addresses(link.index).map(({ cidr }) => formatCidr(cidr)));
  for (const cidr of plan.addresses) {
    if (present.has(formatCidr(cidr))) continue;
    step(`address ${formatCidr(cidr)}`);
    if (guest.addAddress(link.index, cidr, { noDuplicateDetection: true })) changes.push(`address ${formatCidr(cidr)} added`);
  }
  return changes;
}

export function ensureUp(links: Links, link: Link, step: (step: string) => void): string[] {
  if (link.up) return [];
  step(`up ${link.name}`);
  links.change(link.index, { up: true });
  return ["switched on"];
}

/** A route to all multicast groups that leads elsewhere is somebody's choice and stays. */
export function ensureMulticastRoute(guest: Links, link: Link, plan: VethPlan, step: (step: string) => void): string[] {
  if (!plan.multicastRoute || plan.addresses.every((cidr) => isIpv6(cidr.address)) || hasMulticastRoute(guest)) return [];
  step("multicast route");
  guest.routes.replace({ destination: MULTICAST, linkIndex: link.index });
  return ["multicast route added"];
}

function hasMulticastRoute(guest: Links, linkIndex?: number): boolean {
  return guest.routes
    .list()
    .some(
      (route) =>
        formatCidr(route.destination) === formatCidr(MULTICAST) && (linkIndex === undefined || route.linkIndex === linkIndex),
    );
}

/** The link as it is, for a record that was lost. `port` is the other end, when that is ours. */
export function describeGuest(guest: Links, link: Link, port: string | undefined): GuestLink {
  const addresses = guest.addresses(link.index).filter((address) => address.scope === SCOPE_GLOBAL);
  return {
    port,
    mac: link.mac,
    addresses: addresses.map((address) => address.cidr),
    multicastRoute: hasMulticastRoute(guest, link.index),
  };
}
