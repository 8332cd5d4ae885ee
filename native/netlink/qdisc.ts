// SPDX-License-Identifier: Apache-2.0
// Queueing disciplines of links (RTM_*QDISC, linux/rtnetlink.h, linux/pkt_sched.h): finding and removing foreign ones.
import { AF } from "../libc/sockaddr.ts";
import { Attributes, type Message, MessageWriter, NLM_F } from "./codec.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

/** struct tcmsg */
export const TCMSG = { size: 20, family: 0, index: 4, handle: 8, parent: 12, info: 16 } as const;
export const TCA_KIND = 1;
export const TC_H_ROOT = 0xffff_ffff;
/** Where `clsact` and `ingress` sit. */
export const TC_H_CLSACT = 0xffff_fff1;

export interface QdiscRecord {
  readonly linkIndex: number;
  readonly kind: string;
  readonly handle: number;
  readonly parent: number;
}

/** Of all links, or of one. @throws {NetlinkError} */
export function listQdiscs(socket: NetlinkSocket, linkIndex = 0): QdiscRecord[] {
  const writer = new MessageWriter(RTM.GETQDISC, NLM_F.REQUEST | NLM_F.DUMP);
  writeTcmsg(writer, linkIndex, 0);
  const records = socket.dump(writer, { call: "RTM_GETQDISC", object: "all" }, decodeQdisc);
  return linkIndex === 0 ? records : records.filter((record) => record.linkIndex === linkIndex);
}

/** Removes the discipline at `parent` (TC_H_ROOT, TC_H_CLSACT); the link goes back to its kind's own. @throws {NetlinkError} */
export function deleteQdisc(socket: NetlinkSocket, linkIndex: number, parent: number): void {
  const writer = new MessageWriter(RTM.DELQDISC, NLM_F.REQUEST | NLM_F.ACK);
  writeTcmsg(writer, linkIndex, parent);
  socket.request(writer, { call: "RTM_DELQDISC", object: `link ${linkIndex}` });
}

/** From RTM_NEWQDISC or RTM_DELQDISC; undefined for anything else. */
export function decodeQdisc(message: Message): QdiscRecord | undefined {
  const { view, start } = message;
  if ((message.type !== RTM.NEWQDISC && message.type !== RTM.DELQDISC) || message.end - start < TCMSG.size) return undefined;
  return {
    linkIndex: view.getInt32(start + TCMSG.index, true),
    kind: Attributes.of(message, TCMSG.size).text(TCA_KIND) ?? "",
    handle: view.getUint32(start + TCMSG.handle, true),
    parent: view.getUint32(start + TCMSG.parent, true),
  };
}

function writeTcmsg(writer: MessageWriter, linkIndex: number, parent: number): void {
  writer.u8(AF.UNSPEC).u8(0).u16(0).u32(linkIndex).u32(0).u32(parent).u32(0);
}
