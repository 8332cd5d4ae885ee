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
  readonly table: number;
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
  /** undefined: there is no way, and the sender is told so. */
  readonly linkIndex: number | undefined;
  /** Default: the main one. */
  readonly table?: number;
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
  /** False: there was none. */
  delete(plan: RoutePlan): boolean {
    try {
      deleteRoute(this.#socket, toNewRoute(plan));
      return true;
    } catch (thrown) {
      if (isSystemError(thrown, "ESRCH", "ENODEV")) return false;
      throw thrown;
    }
  }
}

const NOWHERE: readonly number[] = [RTN.BLACKHOLE, RTN.UNREACHABLE, RTN.PROHIBIT];

function toRoute(record: RouteRecord): Route {
  return {
    destination: { address: ipFromBytes(record.destination), prefixLength: record.prefixLength },
    table: record.table,
    // IPv6 routes that lead nowhere name the loopback.
    linkIndex: record.linkIndex === 0 || NOWHERE.includes(record.type) ? undefined : record.linkIndex,
    gateway: record.gateway && ipFromBytes(record.gateway),
    source: record.preferredSource && ipFromBytes(record.preferredSource),
    metric: record.metric,
    mtuBytes: record.mtuBytes,
    local: record.type === RTN.LOCAL,
  };
}

function toNewRoute({ destination, gateway, source, linkIndex = 0, ...rest }: RoutePlan): NewRoute {
  return {
    ...rest,
    linkIndex,
    destination: ipBytes(destination.address),
    prefixLength: destination.prefixLength,
    ...(gateway === undefined ? {} : { gateway: ipBytes(gateway) }),
    ...(source === undefined ? {} : { preferredSource: ipBytes(source) }),
  };
}
