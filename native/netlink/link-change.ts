// SPDX-License-Identifier: Apache-2.0
// Making, changing and removing links. A link gets its MAC in the message that makes it: setting one afterwards marks the address as
// chosen by an administrator only then, and udev or NetworkManager may have put in its own meanwhile.
import { AF } from "../libc/sockaddr.ts";
import { MessageWriter, NLM_F } from "./codec.ts";
import {
  IFF,
  IFLA,
  IFLA_BR,
  IFLA_BRPORT,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO,
  IFLA_VXLAN,
  IN6_ADDR_GEN_MODE_NONE,
  VETH_INFO_PEER,
} from "./link-attributes.ts";
import { RTM, writeIfinfo } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** What a new link, or one end of a new veth, is to have. */
export interface NewLink {
  readonly name: string;
  readonly mac: number;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  /** Index of a bridge in the same namespace. */
  readonly master?: number;
  /** Made in the namespace behind this descriptor, with its final name; otherwise in the socket's. */
  readonly netnsFd?: number;
}
/** The other end of a new veth. The kernel makes it before it knows its peer, so it cannot be switched on in the same message (ENOTCONN). */
export type NewPeer = Omit<NewLink, "up" | "master">;
/** Fields of an existing link; what is absent stays. */
export interface LinkChange {
  readonly name?: string;
  readonly mac?: number;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  /** Index of a bridge, 0 for none. */
  readonly master?: number;
  readonly alias?: string;
  /** Moves the link into the namespace behind this descriptor. */
  readonly netnsFd?: number;
}
export interface BridgeOptions {
  readonly stp?: boolean;
  readonly multicastSnooping?: boolean;
  readonly vlanFiltering?: boolean;
  /** Kernels before 6.7 ignore it. */
  readonly fdbMaxLearned?: number;
}
export interface PortOptions {
  readonly hairpin?: boolean;
  readonly isolated?: boolean;
  readonly learning?: boolean;
  readonly unicastFlood?: boolean;
  readonly multicastFlood?: boolean;
  readonly broadcastFlood?: boolean;
  readonly neighbourSuppression?: boolean;
}

const CREATE = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;
const CHANGE = NLM_F.REQUEST | NLM_F.ACK;

/** @throws {NetlinkError} EEXIST: the name is taken */
export function createBridge(socket: NetlinkSocket, link: NewLink, options: BridgeOptions): void {
  create(socket, link, "bridge", (writer) => writeBridgeOptions(writer, options));
}

/** A VXLAN device in external mode that listens on UDP `port`, IPv4 and IPv6. @throws {NetlinkError} EEXIST: the name or, for an
 *  external device, the port is taken in this namespace */
export function createExternalVxlan(socket: NetlinkSocket, link: NewLink, port: number): void {
  create(socket, link, "vxlan", (writer) => {
    writer.attributeU8(IFLA_VXLAN.COLLECT_METADATA, 1).attributeU8(IFLA_VXLAN.LEARNING, 0);
    writer.attributeU8(IFLA_VXLAN.UDP_ZERO_CSUM6_RX, 1).attributeU16be(IFLA_VXLAN.PORT, port);
  });
}

/** Both ends in one step, each in its namespace. @throws {NetlinkError} */
export function createVeth(socket: NetlinkSocket, link: NewLink, peer: NewPeer): void {
  create(socket, link, "veth", (writer) =>
    writer.nested(VETH_INFO_PEER, () => {
      writeIfinfo(writer, AF.UNSPEC, 0);
      writeNewLink(writer, peer);
    }),
  );
}

/** A WireGuard device without key; it has no hardware address. @throws {NetlinkError} EEXIST, EOPNOTSUPP: the kernel has none */
export function createWireguardLink(socket: NetlinkSocket, name: string, mtuBytes: number): void {
  const writer = new MessageWriter(RTM.NEWLINK, CREATE);
  writeIfinfo(writer, AF.UNSPEC, 0);
  writer.attributeText(IFLA.IFNAME, name).attributeU32(IFLA.MTU, mtuBytes);
  writer.nested(IFLA.LINKINFO, () => writer.attributeText(IFLA_INFO.KIND, "wireguard"));
  socket.request(writer, { call: "RTM_NEWLINK", object: name });
}

function create(socket: NetlinkSocket, link: NewLink, kind: string, writeData: (writer: MessageWriter) => void): void {
  const writer = new MessageWriter(RTM.NEWLINK, CREATE);
  writeIfinfo(writer, AF.UNSPEC, 0, link.up ? IFF.UP : 0, link.up ? IFF.UP : 0);
  writeNewLink(writer, link);
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeText(IFLA_INFO.KIND, kind);
    writer.nested(IFLA_INFO.DATA, writeData);
  });
  socket.request(writer, { call: "RTM_NEWLINK", object: link.name });
}

function writeNewLink(writer: MessageWriter, link: NewLink): void {
  writer.attributeText(IFLA.IFNAME, link.name).attributeMac(IFLA.ADDRESS, link.mac);
  if (link.mtuBytes !== undefined) writer.attributeU32(IFLA.MTU, link.mtuBytes);
  if (link.master !== undefined) writer.attributeU32(IFLA.MASTER, link.master);
  if (link.netnsFd !== undefined) writer.attributeU32(IFLA.NET_NS_FD, link.netnsFd);
}

/** @throws {NetlinkError} */
export function changeLink(socket: NetlinkSocket, index: number, change: LinkChange): void {
  const writer = new MessageWriter(RTM.SETLINK, CHANGE);
  writeIfinfo(writer, AF.UNSPEC, index, change.up ? IFF.UP : 0, change.up === undefined ? 0 : IFF.UP);
  if (change.name !== undefined) writer.attributeText(IFLA.IFNAME, change.name);
  if (change.mac !== undefined) writer.attributeMac(IFLA.ADDRESS, change.mac);
  if (change.mtuBytes !== undefined) writer.attributeU32(IFLA.MTU, change.mtuBytes);
  if (change.master !== undefined) writer.attributeU32(IFLA.MASTER, change.master);
  if (change.alias !== undefined) writer.attribute(IFLA.IFALIAS, Buffer.from(change.alias, "utf8"));
  if (change.netnsFd !== undefined) writer.attributeU32(IFLA.NET_NS_FD, change.netnsFd);
  socket.request(writer, { call: "RTM_SETLINK", object: `link ${index}` });
}

/** The kernel gives the link no IPv6 address of its own any more; existing ones stay. @throws {NetlinkError} EOPNOTSUPP or EAFNOSUPPORT:
 *  IPv6 is switched off on this machine */
export function setAddressless(socket: NetlinkSocket, index: number): void {
  const writer = new MessageWriter(RTM.SETLINK, CHANGE);
  writeIfinfo(writer, AF.UNSPEC, index);
  writer.nested(IFLA.AF_SPEC, () =>
    writer.nested(AF.INET6, () => writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
  );
  socket.request(writer, { call: "RTM_SETLINK", object: `link ${index} addrgenmode` });
}

/** @throws {NetlinkError} */
export function setBridgeOptions(socket: NetlinkSocket, index: number, options: BridgeOptions): void {
  const writer = new MessageWriter(RTM.NEWLINK, CHANGE);
  writeIfinfo(writer, AF.UNSPEC, index);
  writer.nested(IFLA.LINKINFO, () => {
    writer.attributeText(IFLA_INFO.KIND, "bridge");
    writer.nested(IFLA_INFO.DATA, () => writeBridgeOptions(writer, options));
  });
  socket.request(writer, { call: "RTM_NEWLINK", object: `bridge ${index}` });
}

/** Of a link that is a port of a bridge. @throws {NetlinkError} */
export function setPortOptions(socket: NetlinkSocket, index: number, options: PortOptions): void {
  const writer = new MessageWriter(RTM.SETLINK, CHANGE);
  writeIfinfo(writer, AF.BRIDGE, index);
  writer.nested(IFLA.PROTINFO, () => {
    writeSwitch(writer, IFLA_BRPORT.MODE, options.hairpin);
    writeSwitch(writer, IFLA_BRPORT.ISOLATED, options.isolated);
    writeSwitch(writer, IFLA_BRPORT.LEARNING, options.learning);
    writeSwitch(writer, IFLA_BRPORT.UNICAST_FLOOD, options.unicastFlood);
    writeSwitch(writer, IFLA_BRPORT.MCAST_FLOOD, options.multicastFlood);
    writeSwitch(writer, IFLA_BRPORT.BCAST_FLOOD, options.broadcastFlood);
    writeSwitch(writer, IFLA_BRPORT.NEIGH_SUPPRESS, options.neighbourSuppression);
  });
  socket.request(writer, { call: "RTM_SETLINK", object: `bridge port ${index}` });
}

/** Removing one end of a veth removes the other. @throws {NetlinkError} ENODEV: there is none */
export function deleteLink(socket: NetlinkSocket, index: number): void {
  const writer = new MessageWriter(RTM.DELLINK, CHANGE);
  writeIfinfo(writer, AF.UNSPEC, index);
  socket.request(writer, { call: "RTM_DELLINK", object: `link ${index}` });
}

function writeBridgeOptions(writer: MessageWriter, options: BridgeOptions): void {
  if (options.stp !== undefined) writer.attributeU32(IFLA_BR.STP_STATE, options.stp ? 1 : 0);
  writeSwitch(writer, IFLA_BR.MCAST_SNOOPING, options.multicastSnooping);
  writeSwitch(writer, IFLA_BR.VLAN_FILTERING, options.vlanFiltering);
  if (options.fdbMaxLearned !== undefined) writer.attributeU32(IFLA_BR.FDB_MAX_LEARNED, options.fdbMaxLearned);
}

function writeSwitch(writer: MessageWriter, type: number, on: boolean | undefined): void {
  if (on !== undefined) writer.attributeU8(type, on ? 1 : 0);
}
