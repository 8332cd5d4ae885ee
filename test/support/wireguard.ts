// SPDX-License-Identifier: Apache-2.0
// What the kernel has of WireGuard on a host, asked without the daemon.
import { resolveFamily } from "../../native/netlink/generic.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "../../native/netlink/socket.ts";
import { readWireguard, WG_GENL_NAME, type WireguardRecord } from "../../native/netlink/wireguard.ts";
import type { Host } from "./lab-host.ts";
import { inNetns } from "./libc.ts";

/** Can a link of that kind be made here? */
export async function hasWireguard(host: Host): Promise<boolean> {
  const { code } = await host.run(["ip", "link", "add", "wg-try", "type", "wireguard"]);
  if (code === 0) await host.must(["ip", "link", "delete", "wg-try"]);
  return code === 0;
}

/** undefined: the host has no link of ours. */
export async function wireguardOf(host: Host): Promise<WireguardRecord | undefined> {
  const { code, stdout } = await host.run(["ip", "-j", "link", "show", "weave-wg"]);
  if (code !== 0) return undefined;
  const [link] = JSON.parse(stdout) as { readonly ifindex: number }[];
  using socket = inNetns(host.netns, () => NetlinkSocket.open(NETLINK_GENERIC));
  const family = resolveFamily(socket, WG_GENL_NAME);
  return family && link && readWireguard(socket, family, link.ifindex);
}
