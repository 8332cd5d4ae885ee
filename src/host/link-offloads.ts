// SPDX-License-Identifier: Apache-2.0
// What a container's link leaves to the device behind it, which in a network over the sleeve is nobody. TCP and UDP are finished there; what is
// not is done by the container's own kernel.
import { ETHTOOL_GENL_NAME, switchFeaturesOff } from "../../native/netlink/ethtool.ts";
import { resolveFamily } from "../../native/netlink/generic.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../native/netlink/socket.ts";
import { enterNetns, type Netns } from "./netns.ts";

const NOT_FINISHED_LATER = ["tx-checksum-sctp", "tx-sctp-segmentation"];

/** Does nothing on a kernel that cannot be asked. @throws {SystemError} */
export function limitOffloads(netns: Netns, linkIndex: number): void {
  using _inside = enterNetns(netns);
  using socket = NetlinkSocket.open(NETLINK_GENERIC);
  const family = resolveFamily(socket, ETHTOOL_GENL_NAME);
  if (family) switchFeaturesOff(socket, family, linkIndex, NOT_FINISHED_LATER);
}
