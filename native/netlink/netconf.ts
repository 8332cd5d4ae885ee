// SPDX-License-Identifier: Apache-2.0
// Which of the kernel's settings for IP were changed (RTM_*NETCONF, linux/netconf.h): forwarding, reverse-path filter, proxy ARP and a few more, of
// which only the place is of interest here. Of others, as accept_ra, the kernel tells nobody.
import { Attributes, type Message } from "./codec.ts";
import { RTM } from "./rtnetlink.ts";

/** struct netconfmsg, padded as netlink wants it */
export const NETCONFMSG = { size: 4 } as const;
export const NETCONFA_IFINDEX = 1;
/** In place of a link's index: settings for all links, and those that new links get. */
export const NETCONFA_IFINDEX_ALL = 0xffff_ffff; // -1

/** Index of the link, or NETCONFA_IFINDEX_ALL; undefined: the message is about something else. */
export function decodeNetconf(message: Message): number | undefined {
  if (message.type !== RTM.NEWNETCONF && message.type !== RTM.DELNETCONF) return undefined;
  return Attributes.of(message, NETCONFMSG.size).u32(NETCONFA_IFINDEX);
}
