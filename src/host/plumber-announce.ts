// SPDX-License-Identifier: Apache-2.0
// Announcing is a courtesy that makes others right at once instead of after seconds. It must not undo an attachment that is otherwise complete.
import type { Cidr } from "../net/cidr.ts";
import type { Mac } from "../net/mac.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { announce } from "./announce.ts";
import type { Netns } from "./netns.ts";

export function announceOrWarn(log: Log, link: string, mac: Mac, addresses: readonly Cidr[], netns: Netns | undefined): void {
  try {
    const ips = addresses.map((cidr) => cidr.address);
    announce(link, mac, ips, netns);
  } catch (thrown) {
    log.warn("addresses could not be announced", { link, reason: errorText(thrown) });
  }
}
