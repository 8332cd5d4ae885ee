// SPDX-License-Identifier: Apache-2.0
// The numbers by which the kernel names other network namespaces in link records (RTM_GETNSID, linux/net_namespace.h).
import { Attributes, MessageWriter, NLM_F } from "./codec.ts";
import { RTM } from "./rtnetlink.ts";
import type { NetlinkSocket } from "./socket.ts";

const NETNSA_NSID = 1;
const NETNSA_FD = 3;
const RTGENMSG_BYTES = 4; // struct rtgenmsg is one byte, padded to the attributes

/** The id of the namespace behind `netnsFd`, as `LinkRecord.peerNetnsId` gives it; undefined when no link leads there. @throws {NetlinkError} */
export function getNetnsId(socket: NetlinkSocket, netnsFd: number): number | undefined {
  const writer = new MessageWriter(RTM.GETNSID, NLM_F.REQUEST);
  writer.u32(0).attributeU32(NETNSA_FD, netnsFd);
  const id = socket.ask(writer, { call: "RTM_GETNSID", object: `fd ${netnsFd}` }, (message) =>
    Attributes.of(message, RTGENMSG_BYTES).i32(NETNSA_NSID),
  );
  return id === undefined || id < 0 ? undefined : id;
}
