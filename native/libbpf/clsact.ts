// SPDX-License-Identifier: Apache-2.0
// The clsact discipline below which classic filters sit. It is removed with the last filter, so that a link is left as it was found.
import { isSystemError } from "../errno.ts";
import { AF } from "../libc/sockaddr.ts";
import { type Message, MessageWriter, NLM_F } from "../netlink/codec.ts";
import { deleteQdisc, listQdiscs, TC_H_CLSACT } from "../netlink/qdisc.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";

// linux/rtnetlink.h
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
// linux/pkt_sched.h
const PARENTS = [0xffff_fff2, 0xffff_fff3]; // clsact's ingress and egress

/** Removes the link's clsact when no filter of anybody is below it. False: it stays, or there was none. @throws {NetlinkError} */
export function removeEmptyClsact(socket: NetlinkSocket, ifindex: number): boolean {
  const hasClsact = listQdiscs(socket, ifindex).some((qdisc) => qdisc.kind === "clsact");
  if (!hasClsact || PARENTS.some((parent) => hasFilter(socket, ifindex, parent))) return false;
  try {
    deleteQdisc(socket, ifindex, TC_H_CLSACT);
    return true;
  } catch (thrown) {
    if (isSystemError(thrown, "ENOENT", "EINVAL", "ENODEV")) return false; // somebody was quicker
    throw thrown;
  }
}

function hasFilter(socket: NetlinkSocket, ifindex: number, parent: number): boolean {
  const writer = new MessageWriter(RTM_GETTFILTER, NLM_F.REQUEST | NLM_F.DUMP);
  writer.u8(AF.UNSPEC).u8(0).u16(0).u32(ifindex).u32(0).u32(parent).u32(0); // struct tcmsg
  const isFilter = (message: Message) => (message.type === RTM_NEWTFILTER ? true : undefined);
  return socket.dump(writer, { call: "RTM_GETTFILTER", object: `link ${ifindex}` }, isFilter).length > 0;
}
