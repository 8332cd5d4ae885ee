// SPDX-License-Identifier: Apache-2.0
// Neighbour entries (ARP, ND) and bridge forwarding entries: both are RTM_*NEIGH (linux/neighbour.h).
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import { addressText } from "./error.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct ndmsg */
export const NDMSG = { size: 12, family: 0, index: 4, state: 8, flags: 10, type: 11 } as const;
export const NDA = { DST: 1, LLADDR: 2, VLAN: 5, MASTER: 9 } as const;
export const NUD = { REACHABLE: 0x02, STALE: 0x04, FAILED: 0x20, NOARP: 0x40, PERMANENT: 0x80 } as const;
/** SELF: the device's own table; MASTER: the bridge's. */
export const NTF = { SELF: 0x02, MASTER: 0x04, EXT_LEARNED: 0x10, STICKY: 0x40 } as const;

export interface NeighbourRecord {
  readonly linkIndex: number;
  readonly address: Uint8Array;
  /** undefined while it is being asked for. */
  readonly mac: number | undefined;
  /** NUD bits. */
  readonly state: number;
}
export interface FdbRecord {
  /** The port. */
  readonly linkIndex: number;
  /** The bridge, 0 for an entry of the device itself. */
  readonly master: number;
  readonly mac: number;
  /** The bridge's own or set by hand, so never aged. */
  readonly permanent: boolean;
}

/** IPv4 and IPv6 neighbours of all links. @throws {NetlinkError} */
export function listNeighbours(socket: NetlinkSocket): NeighbourRecord[] {
  const writer = new MessageWriter(RTM.GETNEIGH, NLM_F.REQUEST | NLM_F.DUMP);
  writeNdmsg(writer, AF.UNSPEC, 0, 0, 0);
  return socket.dump(writer, { call: "RTM_GETNEIGH", object: "all" }, decodeNeighbour);
}

/** Makes or replaces an entry that stays. @throws {NetlinkError} */
export function replaceNeighbour(socket: NetlinkSocket, linkIndex: number, address: Uint8Array, mac: number): void {
  const writer = new MessageWriter(RTM.NEWNEIGH, NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE);
  writeNdmsg(writer, address.length === 16 ? AF.INET6 : AF.INET, linkIndex, NUD.PERMANENT, 0);
  writer.attribute(NDA.DST, address).attributeMac(NDA.LLADDR, mac);
  socket.request(writer, { call: "RTM_NEWNEIGH", object: `${addressText(address)} on link ${linkIndex}` });
}

/** @throws {NetlinkError} ENOENT: there is none */
export function deleteNeighbour(socket: NetlinkSocket, linkIndex: number, address: Uint8Array): void {
  const writer = new MessageWriter(RTM.DELNEIGH, NLM_F.REQUEST | NLM_F.ACK);
  writeNdmsg(writer, address.length === 16 ? AF.INET6 : AF.INET, linkIndex, 0, 0);
  writer.attribute(NDA.DST, address);
  socket.request(writer, { call: "RTM_DELNEIGH", object: `${addressText(address)} on link ${linkIndex}` });
}

/** Forwarding entries of all bridges and devices. @throws {NetlinkError} */
export function listFdb(socket: NetlinkSocket): FdbRecord[] {
  const writer = new MessageWriter(RTM.GETNEIGH, NLM_F.REQUEST | NLM_F.DUMP);
  writeNdmsg(writer, AF.BRIDGE, 0, 0, 0);
  return socket.dump(writer, { call: "RTM_GETNEIGH", object: "fdb" }, decodeFdb);
}

/** Makes the bridge of port `linkIndex` send frames for `mac` there, for good. @throws {NetlinkError} */
export function replaceFdb(socket: NetlinkSocket, linkIndex: number, mac: number): void {
  const writer = new MessageWriter(RTM.NEWNEIGH, NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE);
  writeNdmsg(writer, AF.BRIDGE, linkIndex, NUD.NOARP, NTF.MASTER);
  writer.attributeMac(NDA.LLADDR, mac);
  socket.request(writer, { call: "RTM_NEWNEIGH", object: `fdb entry on link ${linkIndex}` });
}

/** @throws {NetlinkError} ENOENT: there is none */
export function deleteFdb(socket: NetlinkSocket, linkIndex: number, mac: number): void {
  const writer = new MessageWriter(RTM.DELNEIGH, NLM_F.REQUEST | NLM_F.ACK);
  writeNdmsg(writer, AF.BRIDGE, linkIndex, 0, NTF.MASTER);
  writer.attributeMac(NDA.LLADDR, mac);
  socket.request(writer, { call: "RTM_DELNEIGH", object: `fdb entry on link ${linkIndex}` });
}

/** From RTM_NEWNEIGH or RTM_DELNEIGH of IPv4 or IPv6; undefined for anything else. */
export function decodeNeighbour(message: Message): NeighbourRecord | undefined {
  if (!isNeighbourMessage(message) || message.view.getUint8(message.start) === AF.BRIDGE) return undefined;
  const attributes = Attributes.of(message, NDMSG.size);
  const address = attributes.bytes(NDA.DST);
  if (address?.length !== 4 && address?.length !== 16) return undefined;
  return {
    linkIndex: message.view.getInt32(message.start + NDMSG.index, true),
    address,
    mac: attributes.mac(NDA.LLADDR),
    state: message.view.getUint16(message.start + NDMSG.state, true),
  };
}

/** The same of a forwarding entry. */
export function decodeFdb(message: Message): FdbRecord | undefined {
  if (!isNeighbourMessage(message) || message.view.getUint8(message.start) !== AF.BRIDGE) return undefined;
  const attributes = Attributes.of(message, NDMSG.size);
  const mac = attributes.mac(NDA.LLADDR);
  if (mac === undefined) return undefined;
  return {
    linkIndex: message.view.getInt32(message.start + NDMSG.index, true),
    master: attributes.u32(NDA.MASTER) ?? 0,
    mac,
    permanent: (message.view.getUint16(message.start + NDMSG.state, true) & (NUD.PERMANENT | NUD.NOARP)) !== 0,
  };
}

function isNeighbourMessage(message: Message): boolean {
  const known = message.type === RTM.NEWNEIGH || message.type === RTM.DELNEIGH;
  return known && message.end - message.start >= NDMSG.size;
}

function writeNdmsg(writer: MessageWriter, family: number, linkIndex: number, state: number, flags: number): void {
  writer.u8(family).u8(0).u16(0).u32(linkIndex).u16(state).u8(flags).u8(0);
}
