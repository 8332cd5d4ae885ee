// SPDX-License-Identifier: Apache-2.0
// The network below ours, as this host sees it: the path to another host, the host's own addresses, and routes our networks would hide.
import { type Cidr, cidrsOverlap, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link, Links } from "./links.ts";
import type { Route } from "./routes.ts";
import { WIREGUARD_LINK } from "./wireguard-plan.ts";

export interface UnderlayPath {
  readonly linkIndex: number;
  readonly linkName: string;
  /** The address our packets leave with; undefined when the kernel names none. */
  readonly source: Ip | undefined;
  /** Largest packet, IP header included: the route's MTU or what path MTU discovery found, else the interface's. */
  readonly mtuBytes: number;
}
export interface HostAddress {
  readonly cidr: Cidr;
  readonly linkName: string;
}

/** The way a packet to `destination` takes now; undefined when there is none. @throws {SystemError} */
export function pathTo(links: Links, destination: Ip): UnderlayPath | undefined {
  const route = links.routes.towards(destination);
  const link = route?.linkIndex === undefined ? undefined : links.get(route.linkIndex);
  if (route === undefined || link === undefined) return undefined;
  const mtuBytes = Math.min(route.mtuBytes ?? link.mtuBytes, link.mtuBytes);
  return { linkIndex: link.index, linkName: link.name, source: route.source, mtuBytes };
}

/** Addresses other hosts may reach this one at: global ones, not of loopback, the bridge `bridge` or its ports, or inside WireGuard. @throws {SystemError} */
export function hostAddresses(links: Links, bridge = "weave"): HostAddress[] {
  const foreign = new Map(foreignLinks(links.list(), bridge).map((link) => [link.index, link]));
  return links.addresses().flatMap(({ linkIndex, cidr, scope }) => {
    const link = foreign.get(linkIndex);
    return link === undefined || link.loopback || scope !== 0 ? [] : [{ cidr, linkName: link.name }];
  });
}

/** Two routes that together replace the default route (as VPNs make them) count as one: they lead everywhere and hide nothing. */
const LONGEST_CATCH_ALL = 1;

export interface RouteOverlap {
  readonly route: Cidr;
  /** undefined: a route that leads nowhere. */
  readonly linkName: string | undefined;
}

/** The most specific route of this host that has addresses in common with `network`; default routes and those through the bridge `bridge` or
 *  its ports do not count. @throws {SystemError} */
export function findRouteOverlap(links: Links, network: Cidr, bridge = "weave"): RouteOverlap | undefined {
  const all = links.list();
  const foreign = new Map(foreignLinks(all, bridge).map((link) => [link.index, link.name]));
  const isForeign = ({ linkIndex }: Route): boolean => linkIndex === undefined || foreign.has(linkIndex);
  const [clash] = links.routes
    .list()
    .filter((route) => route.destination.prefixLength > LONGEST_CATCH_ALL && isForeign(route))
    .filter((route) => cidrsOverlap(route.destination, network))
    .sort((a, b) => b.destination.prefixLength - a.destination.prefixLength);
  return (
    clash && { route: clash.destination, linkName: clash.linkIndex === undefined ? undefined : foreign.get(clash.linkIndex) }
  );
}

/** @throws {UserError} a route of this host has addresses in common with `network` */
export function refuseRouteOverlap(links: Links, network: Cidr, bridge = "weave"): void {
  const overlap = findRouteOverlap(links, network, bridge);
  if (overlap === undefined) return;
  const via = overlap.linkName === undefined ? "" : ` of interface '${overlap.linkName}'`;
  throw new UserError(
    "conflict",
    `network ${formatCidr(network)} overlaps the existing route ${formatCidr(overlap.route)}${via} on this host`,
    "choose another network, or remove that route",
  );
}

function foreignLinks(links: readonly Link[], bridge: string): Link[] {
  const bridgeIndex = links.find((link) => link.name === bridge && link.kind === "bridge")?.index;
  const isPort = ({ index, master }: Link): boolean =>
    bridgeIndex !== undefined && (index === bridgeIndex || master === bridgeIndex);
  return links.filter((link) => link.name !== WIREGUARD_LINK && !isPort(link));
}
