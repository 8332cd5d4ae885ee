// SPDX-License-Identifier: Apache-2.0
// `weave status ipam`: one line per peer that owns addresses, this host first.
import type { IpamStatus, StatusModel } from "../status.ts";
import { peerText } from "./text.ts";

/** Empty when there is no ring. @throws nothing: without allocation there is nothing either */
export function renderIpam({ ipam }: StatusModel): string {
  if (!ipam) return "";
  return ipam.shares.map((share, index) => `${shareLine(ipam, share, index === 0)}\n`).join("");
}

function shareLine(ipam: IpamStatus, share: IpamStatus["shares"][number], isOwn: boolean): string {
  const percent = ((100 * share.addresses) / ipam.rangeSize).toFixed(1).padStart(4, "0");
  const note = isOwn ? `(${ipam.active} active)` : share.reachable ? "" : "- unreachable!";
  return `${peerText(share).padEnd(37)} ${String(share.addresses).padStart(8)} IPs (${percent}% of total) ${note}`;
}
