// SPDX-License-Identifier: Apache-2.0
// The routes of one network namespace. Part of `Links`, which owns the netlink socket.
import { isSystemError } from "../../native/errno.ts";
import {
  deleteRoute,
  getRoute,
  listRoutes,
  type NewRoute,
  type RouteRecord,
  RT_TABLE_LOCAL,
  RTN,
  replaceRoute,
} from "../../native/netlink/route.ts";
import type { NetlinkSocket } from "../../native/netlink/socket.ts";
import type { Cidr } from "../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";

export interface Route {
  readonly destination: Cidr;
  /** undefined: the packet goes nowhere (blackhole and the like). */
  readonly linkIndex: number | undefined;
  readonly gateway: Ip | undefined;
  /** The address packets leave with. */
  readonly source: Ip | undefined;
  readonly metric: number;
  /** The route's own, or what path MTU discovery found; undefined: the link's counts. */
  readonly mtuBytes: number | undefined;
  /** To an address of this very host. */
  readonly local: boolean;
}

export interface RoutePlan {
  readonly destination: Cidr;
  readonly linkIndex: number;
  readonly gateway?: Ip;
  readonly source?: Ip;
  readonly metric?: number;
  readonly mtuBytes?: number;
}

export class Routes {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** All tables but the one of the host's own addresses. */
  list(): Route[] {
    return listRoutes(this.#socket)
      .filter((record) => record.table !== RT_TABLE_LOCAL)
      .map(toRoute);
  }
  /** The one a packet to `destination` would take now; undefined when there is none. */
  towards(destination: Ip): Route | undefined {
    const record = getRoute(this.#socket, ipBytes(destination));
    return record && toRoute(record);
  }
  /** Makes it, or replaces the one with the same destination and metric. */
  replace(plan: RoutePlan): void {
    replaceRoute(this.#socket, toNewRoute(plan));
  }
  /** Packets to there are refused while no route with a better metric leads on. */
  refuse(destination: Cidr, metric: number): void {
    replaceRoute(this.#socket, { ...toNewRoute({ destination, linkIndex: 0, metric }), isUnreachable: true });
  }
  /** False: they were not refused. */
  unrefuse(destination: Cidr, metric: number): boolean {
    return this.#gone({ ...toNewRoute({ destination, linkIndex: 0, metric }), isUnreachable: true });
  }
  /** False: there was none. */
  delete(plan: RoutePlan): boolean {
    return this.#gone(toNewRoute(plan));
  }
  #gone(route: NewRoute): boolean {
    try {
      deleteRoute(this.#socket, route);
      return true;
    } catch (thrown) {
      if (isSystemError(thrown, "ESRCH", "ENODEV")) return false;
      throw thrown;
    }
  }
}

function toRoute(record: RouteRecord): Route {
  return {
    destination: { address: ipFromBytes(record.destination), prefixLength: record.prefixLength },
    linkIndex: record.linkIndex === 0 ? undefined : record.linkIndex,
    gateway: record.gateway && ipFromBytes(record.gateway),
    source: record.preferredSource && ipFromBytes(record.preferredSource),
    metric: record.metric,
    mtuBytes: record.mtuBytes,
    local: record.type === RTN.LOCAL,
  };
}

function toNewRoute({ destination, gateway, source, ...rest }: RoutePlan): NewRoute {
  return {
    ...rest,
    destination: ipBytes(destination.address),
    prefixLength: destination.prefixLength,
    ...(gateway === undefined ? {} : { gateway: ipBytes(gateway) }),
    ...(source === undefined ? {} : { preferredSource: ipBytes(source) }),
  };
}
