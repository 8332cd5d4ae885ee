// SPDX-License-Identifier: Apache-2.0
// Links as the kernel describes them (RTM_GETLINK, linux/if_link.h).
import { isSystemError } from "../errno.ts";
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import {
  IFF,
  IFLA,
  IFLA_BR,
  IFLA_BRPORT,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INFO,
  IFLA_VXLAN,
  IN6_ADDR_GEN_MODE_NONE,
  RTEXT_FILTER_SKIP_STATS,
} from "./link-attributes.ts";
import { IFINFOMSG, RTM, writeIfinfo } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

export interface LinkRecord {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, `vxlan`, `tun`, …; empty for hardware and loopback. */
  readonly kind: string;
  /** 48 bits as a number; 0 when the link has none. */
  readonly mac: number;
  readonly mtuBytes: number;
  /** Switched on by the administrator. */
  readonly up: boolean;
  /** Switched on and with a carrier. */
  readonly running: boolean;
  readonly loopback: boolean;
  /** Index of the bridge or bond it is a port of, 0 for none. */
  readonly master: number;
  /** Index of the other end of a veth (in its own namespace), or of the lower link; 0 for none. */
  readonly peerIndex: number;
  /** Our id for the namespace of the other end; undefined when it is this one. */
  readonly peerNetnsId: number | undefined;
  /** Kind of the root queueing discipline: `noqueue`, `fq_codel`, … */
  readonly qdisc: string;
  readonly alias: string;
  /** The kernel gives the link no IPv6 address of its own, or has no IPv6 on it. */
  readonly addressless: boolean;
  readonly bridge: BridgeRecord | undefined;
  readonly vxlan: VxlanRecord | undefined;
  readonly port: PortRecord | undefined;
}
/** Of a bridge. */
export interface BridgeRecord {
  readonly stp: boolean;
  readonly multicastSnooping: boolean;
  readonly vlanFiltering: boolean;
  /** Learned entries at most, 0 for no limit; undefined before Linux 6.7. */
  readonly fdbMaxLearned: number | undefined;
  readonly fdbLearned: number | undefined;
}
/** Of a VXLAN device. */
export interface VxlanRecord {
  readonly port: number;
  /** Takes the tunnel's addresses and VNI from each packet's metadata. */
  readonly external: boolean;
  readonly learning: boolean;
  readonly udp6ZeroChecksumRx: boolean;
}
/** Of a port of a bridge. */
export interface PortRecord {
  readonly forwarding: boolean;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly learning: boolean;
  readonly unicastFlood: boolean;
  readonly multicastFlood: boolean;
  readonly broadcastFlood: boolean;
  readonly neighbourSuppression: boolean;
}

const BR_STATE_FORWARDING = 3; // linux/if_bridge.h

/** Which links a list is to have; everything when empty. */
export interface LinkFilter {
  readonly kind?: string;
  /** Index of the bridge they are ports of. */
  readonly master?: number;
}

/** The links of the socket's namespace, by index. @throws {NetlinkError} */
export function listLinks(socket: NetlinkSocket, { kind, master }: LinkFilter = {}): LinkRecord[] {
  const writer = new MessageWriter(RTM.GETLINK, NLM_F.REQUEST | NLM_F.DUMP);
  writeIfinfo(writer, AF.UNSPEC, 0);
  writer.attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (master !== undefined) writer.attributeU32(IFLA.MASTER, master);
  if (kind !== undefined) writer.nested(IFLA.LINKINFO, () => writer.attributeText(IFLA_INFO.KIND, kind));
  // The kernel filters to spare work, not reliably: a kind it has not loaded yet filters nothing.
  return socket.dump(writer, { call: "RTM_GETLINK", object: "all" }, (message) => {
    const link = decodeLink(message);
    const wanted = (kind === undefined || link?.kind === kind) && (master === undefined || link?.master === master);
    return wanted ? link : undefined;
  });
}

/** undefined: no such link. @throws {NetlinkError} */
export function getLink(socket: NetlinkSocket, which: string | number): LinkRecord | undefined {
  const writer = new MessageWriter(RTM.GETLINK, NLM_F.REQUEST);
  writeIfinfo(writer, AF.UNSPEC, typeof which === "number" ? which : 0);
  if (typeof which === "string") writer.attributeText(IFLA.IFNAME, which);
  writer.attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  try {
    return socket.ask(writer, { call: "RTM_GETLINK", object: String(which) }, decodeLink);
  } catch (thrown) {
    if (isSystemError(thrown, "ENODEV")) return undefined;
    throw thrown;
  }
}

/** A link from RTM_NEWLINK or RTM_DELLINK; undefined for anything else. */
export function decodeLink(message: Message): LinkRecord | undefined {
  const { view, start } = message;
  if ((message.type !== RTM.NEWLINK && message.type !== RTM.DELLINK) || message.end - start < IFINFOMSG.size) return undefined;
  const attributes = Attributes.of(message, IFINFOMSG.size);
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info.text(IFLA_INFO.KIND) ?? "";
  const flags = view.getUint32(start + IFINFOMSG.flags, true);
  return {
    index: view.getInt32(start + IFINFOMSG.index, true),
    name: attributes.text(IFLA.IFNAME) ?? "",
    kind,
    mac: attributes.mac(IFLA.ADDRESS) ?? 0,
    mtuBytes: attributes.u32(IFLA.MTU) ?? 0,
    up: (flags & IFF.UP) !== 0,
    running: (flags & IFF.RUNNING) !== 0,
    loopback: (flags & IFF.LOOPBACK) !== 0,
    master: attributes.u32(IFLA.MASTER) ?? 0,
    peerIndex: attributes.u32(IFLA.LINK) ?? 0,
    peerNetnsId: attributes.i32(IFLA.LINK_NETNSID),
    qdisc: attributes.text(IFLA.QDISC) ?? "",
    alias: attributes.text(IFLA.IFALIAS) ?? "",
    addressless: isAddressless(attributes.nested(IFLA.AF_SPEC).nested(AF.INET6).u8(IFLA_INET6_ADDR_GEN_MODE)),
    bridge: kind === "bridge" ? decodeBridge(info.nested(IFLA_INFO.DATA)) : undefined,
    vxlan: kind === "vxlan" ? decodeVxlan(info.nested(IFLA_INFO.DATA)) : undefined,
    port: info.text(IFLA_INFO.SLAVE_KIND) === "bridge" ? decodePort(info.nested(IFLA_INFO.SLAVE_DATA)) : undefined,
  };
}

function isAddressless(mode: number | undefined): boolean {
  return mode === undefined || mode === IN6_ADDR_GEN_MODE_NONE;
}

function decodeBridge(data: Attributes): BridgeRecord {
  return {
    stp: (data.u32(IFLA_BR.STP_STATE) ?? 0) !== 0,
    multicastSnooping: data.u8(IFLA_BR.MCAST_SNOOPING) === 1,
    vlanFiltering: data.u8(IFLA_BR.VLAN_FILTERING) === 1,
    fdbMaxLearned: data.u32(IFLA_BR.FDB_MAX_LEARNED),
    fdbLearned: data.u32(IFLA_BR.FDB_N_LEARNED),
  };
}

function decodeVxlan(data: Attributes): VxlanRecord {
  return {
    port: data.u16be(IFLA_VXLAN.PORT) ?? 0,
    external: data.u8(IFLA_VXLAN.COLLECT_METADATA) === 1,
    learning: data.u8(IFLA_VXLAN.LEARNING) === 1,
    udp6ZeroChecksumRx: data.u8(IFLA_VXLAN.UDP_ZERO_CSUM6_RX) === 1,
  };
}

function decodePort(data: Attributes): PortRecord {
  const on = (type: number): boolean => data.u8(type) === 1;
  return {
    forwarding: data.u8(IFLA_BRPORT.STATE) === BR_STATE_FORWARDING,
    hairpin: on(IFLA_BRPORT.MODE),
    isolated: on(IFLA_BRPORT.ISOLATED),
    learning: on(IFLA_BRPORT.LEARNING),
    unicastFlood: on(IFLA_BRPORT.UNICAST_FLOOD),
    multicastFlood: on(IFLA_BRPORT.MCAST_FLOOD),
    broadcastFlood: on(IFLA_BRPORT.BCAST_FLOOD),
    neighbourSuppression: on(IFLA_BRPORT.NEIGH_SUPPRESS),
  };
}
