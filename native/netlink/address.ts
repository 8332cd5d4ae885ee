// SPDX-License-Identifier: Apache-2.0
// Addresses of links (RTM_*ADDR, linux/if_addr.h). Addresses are 4 or 16 bytes in network order.
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import { addressText, type Subject } from "./error.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct ifaddrmsg */
export const IFADDRMSG = { size: 8, family: 0, prefixLength: 1, flags: 2, scope: 3, index: 4 } as const;
export const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const;
export const IFA_F = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, PERMANENT: 0x80, NOPREFIXROUTE: 0x200 } as const;

export interface AddressRecord {
  readonly linkIndex: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** IFA_F bits. */
  readonly flags: number;
  /** 0 global, 253 link, 254 host (linux/rtnetlink.h). */
  readonly scope: number;
}
export interface NewAddress {
  readonly linkIndex: number;
  readonly address: Uint8Array;
  readonly prefixLength: number;
  /** No route to the network appears with it. */
  readonly noPrefixRoute?: boolean;
  /** IPv6: usable at once, without asking whether somebody else has it. */
  readonly noDuplicateDetection?: boolean;
}

/** Of all links, or of one. @throws {NetlinkError} */
export function listAddresses(socket: NetlinkSocket, linkIndex = 0): AddressRecord[] {
  const writer = new MessageWriter(RTM.GETADDR, NLM_F.REQUEST | NLM_F.DUMP);
  writer.u8(AF.UNSPEC).u8(0).u8(0).u8(0).u32(linkIndex);
  const records = socket.dump(writer, { call: "RTM_GETADDR", object: "all" }, decodeAddress);
  return linkIndex === 0 ? records : records.filter((record) => record.linkIndex === linkIndex);
}

/** @throws {NetlinkError} EEXIST: the link has it */
export function addAddress(socket: NetlinkSocket, address: NewAddress): void {
  const flags =
    (address.noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0) |
    (address.noDuplicateDetection && address.address.length === 16 ? IFA_F.NODAD : 0);
  const writer = new MessageWriter(RTM.NEWADDR, NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL);
  writeAddress(writer, address);
  const broadcast = broadcastOf(address);
  if (broadcast) writer.attribute(IFA.BROADCAST, broadcast);
  if (flags !== 0) writer.attributeU32(IFA.FLAGS, flags);
  socket.request(writer, subject("RTM_NEWADDR", address));
}

/** @throws {NetlinkError} EADDRNOTAVAIL: the link does not have it */
export function deleteAddress(socket: NetlinkSocket, address: NewAddress): void {
  const writer = new MessageWriter(RTM.DELADDR, NLM_F.REQUEST | NLM_F.ACK);
  writeAddress(writer, address);
  socket.request(writer, subject("RTM_DELADDR", address));
}

/** From RTM_NEWADDR or RTM_DELADDR; undefined for anything else. */
export function decodeAddress(message: Message): AddressRecord | undefined {
  const { view, start } = message;
  if ((message.type !== RTM.NEWADDR && message.type !== RTM.DELADDR) || message.end - start < IFADDRMSG.size) return undefined;
  const attributes = Attributes.of(message, IFADDRMSG.size);
  // Of a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL ours; IPv6 without a peer has IFA_ADDRESS only.
  const address = attributes.bytes(IFA.LOCAL) ?? attributes.bytes(IFA.ADDRESS);
  if (address?.length !== 4 && address?.length !== 16) return undefined;
  return {
    linkIndex: view.getUint32(start + IFADDRMSG.index, true),
    address,
    prefixLength: view.getUint8(start + IFADDRMSG.prefixLength),
    flags: attributes.u32(IFA.FLAGS) ?? view.getUint8(start + IFADDRMSG.flags),
    scope: view.getUint8(start + IFADDRMSG.scope),
  };
}

function writeAddress(writer: MessageWriter, { address, prefixLength, linkIndex }: NewAddress): void {
  const family = address.length === 16 ? AF.INET6 : AF.INET;
  writer.u8(family).u8(prefixLength).u8(0).u8(0).u32(linkIndex);
  writer.attribute(IFA.LOCAL, address).attribute(IFA.ADDRESS, address);
}

// Linux derives none for an address added by netlink, and tools expect one. /31 and /32 have no broadcast address (RFC 3021).
function broadcastOf({ address, prefixLength }: NewAddress): Uint8Array | undefined {
  if (address.length !== 4 || prefixLength > 30) return undefined;
  return address.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, prefixLength - i * 8))));
}

function subject(call: string, address: NewAddress): Subject {
  return { call, object: `${addressText(address.address)}/${address.prefixLength} on link ${address.linkIndex}` };
}
