// SPDX-License-Identifier: Apache-2.0
// Routes and route look-ups (RTM_*ROUTE, linux/rtnetlink.h). Addresses are 4 or 16 bytes in network order.
import { isSystemError } from "../errno.ts";
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import { addressText, type Subject } from "./error.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct rtmsg */
export const RTMSG = {
  size: 12,
  family: 0,
  destinationLength: 1,
  sourceLength: 2,
  tos: 3,
  table: 4,
  protocol: 5,
  scope: 6,
  type: 7,
  flags: 8,
} as const;
export const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, METRICS: 8, MULTIPATH: 9, TABLE: 15 } as const;
export const RTAX_MTU = 2;
/** struct rtnexthop */
export const RTNEXTHOP = { size: 8, length: 0, index: 4 } as const;

export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
/** rtm_type */
export const RTN = { UNICAST: 1, LOCAL: 2, BROADCAST: 3, MULTICAST: 5, BLACKHOLE: 6, UNREACHABLE: 7, PROHIBIT: 8 } as const;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTM_F_CLONED = 0x200; // an entry of the route cache, not a route

export interface RouteRecord {
  /** Of as many bytes as the family has, zero for a default route. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** 0: none (blackhole and the like). With several next hops, the first one's. */
  readonly linkIndex: number;
  readonly gateway: Uint8Array | undefined;
  readonly preferredSource: Uint8Array | undefined;
  readonly table: number;
  /** RTN value. */
  readonly type: number;
  readonly metric: number;
  /** The route's own MTU, or what path MTU discovery found; undefined: the link's counts. */
  readonly mtuBytes: number | undefined;
}
export interface NewRoute {
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** 0: an answer that there is no way, instead of a way. */
  readonly linkIndex: number;
  /** Default: the main one. */
  readonly table?: number;
  readonly gateway?: Uint8Array;
  readonly preferredSource?: Uint8Array;
  readonly metric?: number;
  readonly mtuBytes?: number;
}

/** IPv4 and IPv6 routes of all tables, the local one included. @throws {NetlinkError} */
export function listRoutes(socket: NetlinkSocket): RouteRecord[] {
  return [AF.INET, AF.INET6].flatMap((family) => {
    const writer = new MessageWriter(RTM.GETROUTE, NLM_F.REQUEST | NLM_F.DUMP);
    writeRtmsg(writer, { family, destinationLength: 0, table: 0, protocol: 0, scope: 0, type: 0 });
    return socket.dump(writer, { call: "RTM_GETROUTE", object: "all" }, decodeRoute);
  });
}

/** The route a packet to `destination` would take now; undefined when there is none. @throws {NetlinkError} */
export function getRoute(socket: NetlinkSocket, destination: Uint8Array): RouteRecord | undefined {
  const writer = new MessageWriter(RTM.GETROUTE, NLM_F.REQUEST);
  const destinationLength = destination.length * 8;
  writeRtmsg(writer, { family: familyOf(destination), destinationLength, table: 0, protocol: 0, scope: 0, type: 0 });
  writer.attribute(RTA.DST, destination);
  try {
    return socket.ask(writer, { call: "RTM_GETROUTE", object: addressText(destination) }, decodeAnyRoute);
  } catch (thrown) {
    // EINVAL, EACCES and EHOSTUNREACH are how blackhole, prohibit and unreachable routes answer.
    if (isSystemError(thrown, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
    throw thrown;
  }
}

/** Makes the route, or replaces the one to the same destination with the same metric. @throws {NetlinkError} */
export function replaceRoute(socket: NetlinkSocket, route: NewRoute): void {
  const flags = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE;
  socket.request(writeRoute(RTM.NEWROUTE, flags, route), subject("RTM_NEWROUTE", route));
}

/** @throws {NetlinkError} EEXIST: there is one to this destination with this metric */
export function addRoute(socket: NetlinkSocket, route: NewRoute): void {
  const flags = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;
  socket.request(writeRoute(RTM.NEWROUTE, flags, route), subject("RTM_NEWROUTE", route));
}

/** By destination, table, link, gateway and metric; the kernel would compare an MTU too. @throws {NetlinkError} ESRCH: there is none */
export function deleteRoute(socket: NetlinkSocket, { mtuBytes: _, ...route }: NewRoute): void {
  socket.request(writeRoute(RTM.DELROUTE, NLM_F.REQUEST | NLM_F.ACK, route), subject("RTM_DELROUTE", route));
}

/** A route of a table, from RTM_NEWROUTE or RTM_DELROUTE; undefined for anything else, cached ones too. */
export function decodeRoute(message: Message): RouteRecord | undefined {
  const route = decodeAnyRoute(message);
  if (route === undefined) return undefined;
  return (message.view.getUint32(message.start + RTMSG.flags, true) & RTM_F_CLONED) === 0 ? route : undefined;
}

function decodeAnyRoute(message: Message): RouteRecord | undefined {
  const { view, start } = message;
  if ((message.type !== RTM.NEWROUTE && message.type !== RTM.DELROUTE) || message.end - start < RTMSG.size) return undefined;
  const family = view.getUint8(start + RTMSG.family);
  if (family !== AF.INET && family !== AF.INET6) return undefined;
  const attributes = Attributes.of(message, RTMSG.size);
  return {
    destination: attributes.bytes(RTA.DST) ?? new Uint8Array(family === AF.INET ? 4 : 16),
    prefixLength: view.getUint8(start + RTMSG.destinationLength),
    linkIndex: attributes.u32(RTA.OIF) ?? firstNextHop(attributes),
    gateway: attributes.bytes(RTA.GATEWAY),
    preferredSource: attributes.bytes(RTA.PREFSRC),
    table: attributes.u32(RTA.TABLE) ?? view.getUint8(start + RTMSG.table),
    type: view.getUint8(start + RTMSG.type),
    metric: attributes.u32(RTA.PRIORITY) ?? 0,
    mtuBytes: attributes.nested(RTA.METRICS).u32(RTAX_MTU),
  };
}

function firstNextHop(attributes: Attributes): number {
  const hops = attributes.bytes(RTA.MULTIPATH);
  if (hops === undefined || hops.length < RTNEXTHOP.size) return 0;
  return new DataView(hops.buffer).getInt32(RTNEXTHOP.index, true);
}

function writeRoute(type: number, flags: number, route: NewRoute): MessageWriter {
  const writer = new MessageWriter(type, flags);
  writeRtmsg(writer, {
    family: familyOf(route.destination),
    destinationLength: route.prefixLength,
    table: 0,
    protocol: RTPROT_STATIC,
    scope: route.gateway === undefined && route.destination.length === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    type: route.linkIndex === 0 ? RTN.UNREACHABLE : RTN.UNICAST,
  });
  if (route.prefixLength > 0) writer.attribute(RTA.DST, route.destination);
  writer.attributeU32(RTA.TABLE, route.table ?? RT_TABLE_MAIN); // the header has room for the first 255 only
  if (route.linkIndex !== 0) writer.attributeU32(RTA.OIF, route.linkIndex);
  if (route.gateway) writer.attribute(RTA.GATEWAY, route.gateway);
  if (route.preferredSource) writer.attribute(RTA.PREFSRC, route.preferredSource);
  if (route.metric !== undefined) writer.attributeU32(RTA.PRIORITY, route.metric);
  const { mtuBytes } = route;
  if (mtuBytes !== undefined) writer.nested(RTA.METRICS, () => writer.attributeU32(RTAX_MTU, mtuBytes));
  return writer;
}

interface RouteHeader {
  readonly family: number;
  readonly destinationLength: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
}

function writeRtmsg(writer: MessageWriter, header: RouteHeader): void {
  writer.u8(header.family).u8(header.destinationLength).u8(0).u8(0);
  writer.u8(header.table).u8(header.protocol).u8(header.scope).u8(header.type).u32(0);
}

function familyOf(address: Uint8Array): number {
  return address.length === 16 ? AF.INET6 : AF.INET;
}

function subject(call: string, route: NewRoute): Subject {
  return { call, object: `${addressText(route.destination)}/${route.prefixLength} on link ${route.linkIndex}` };
}
