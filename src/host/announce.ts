// SPDX-License-Identifier: Apache-2.0
// Tells the neighbours of an interface where its addresses are, so that their caches and the switches' tables are right at once: gratuitous
// ARP for IPv4, unsolicited neighbour advertisements for IPv6.
import { closeInBackground } from "../../native/libc/fd.ts";
import { openPacketSender, sendFrame } from "../../native/libc/packet-socket.ts";
import { gratuitousArp } from "../net/arp.ts";
import { unsolicitedAdvertisement } from "../net/icmpv6.ts";
import { type Ip, isIpv6 } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import { inNetns, type Netns } from "./netns.ts";

/** Sends the announcements out of the interface `linkName`, which must be up; `netns` is where it lives when that is not the calling
 *  thread's namespace. A port's bridge must be forwarding, or it loses them (`Plumber.carries`). @throws {SystemError} no such interface, or it
 *  is down */
export function announce(linkName: string, mac: Mac, addresses: readonly Ip[], netns?: Netns): void {
  const open = (): number => openPacketSender(linkName);
  const fd = netns === undefined ? open() : inNetns(netns, open);
  try {
    for (const frame of addresses.flatMap((ip) => announcementsOf(mac, ip))) sendFrame(fd, frame, linkName);
  } finally {
    closeInBackground(fd);
  }
}

/** The frames that announce one address, in the order they are sent. */
export function announcementsOf(mac: Mac, ip: Ip): readonly Uint8Array<ArrayBuffer>[] {
  return isIpv6(ip) ? [unsolicitedAdvertisement(mac, ip)] : gratuitousArp(mac, ip);
}
