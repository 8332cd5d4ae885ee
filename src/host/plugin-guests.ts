// SPDX-License-Identifier: Apache-2.0
// The container's end of a pair that Docker has put into place: it gets the settings of an attached container's, and neighbours are told.
import type { NetnsRef } from "../attach/ports.ts";
import type { Cidr } from "../net/cidr.ts";
import { isIpv6 } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import type { Log } from "../runtime/log.ts";
import { announce } from "./announce.ts";
import { limitOffloads } from "./link-offloads.ts";
import { Links } from "./links.ts";
import { inNetns } from "./netns.ts";
import { announceOrWarn } from "./plumber-announce.ts";
import { tuneGuest } from "./plumber-guest.ts";
import { openReference } from "./plumber-namespaces.ts";

/** @param mtuBytes of the near end. False: there is no link of that MAC. @throws {UserError} the namespace has ended @throws {SystemError} */
export function settleGuest(
  reference: NetnsRef,
  { mac, addresses, mtuBytes }: { readonly mac: Mac; readonly addresses: readonly Cidr[]; readonly mtuBytes: number },
  log: Log,
): boolean {
  using netns = openReference(reference);
  using guest = Links.openIn(netns);
  const link = guest.list().find((one) => one.mac === mac && one.kind === "veth" && one.up);
  if (!link) return false;
  if (link.mtuBytes > mtuBytes) guest.change(link.index, { mtuBytes });
  const ips = addresses.map(({ address }) => address);
  inNetns(netns, () => tuneGuest(link.name, ips.some(isIpv6)));
  limitOffloads(netns, link.index);
  announceOrWarn(log, link.name, () => announce(link.name, mac, ips, netns));
  return true;
}
