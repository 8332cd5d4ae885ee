// SPDX-License-Identifier: Apache-2.0
// What must hold before an address is given, and how the things involved are called in messages.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";
import type { Attachment } from "./attachment.ts";
import type { Attachments } from "./attachments.ts";
import type { TapTarget, Target } from "./target.ts";

/** @throws {UserError} conflict: the address is somebody else's on this host, or the target has it with another prefix length */
export function checkFree(
  target: Target | TapTarget,
  cidr: Cidr,
  attachments: Attachments,
  isExposed: (ip: Ip) => boolean,
): void {
  const cannot = `cannot attach ${describeTarget(target)}: ${cidr.address}`;
  if (isExposed(cidr.address)) {
    throw new UserError(
      "conflict",
      `${cannot} is the address of this host (weave expose)`,
      `weave hide ${formatCidr(cidr)} frees it`,
    );
  }
  const holder = attachments.holder(cidr.address);
  if (!holder) return;
  if (holder.hostLink !== attachments.find(target)?.hostLink) {
    const how = holder.kind === "tap" ? `--tap ${holder.name}` : holder.name;
    throw new UserError(
      "conflict",
      `${cannot} is held by ${describe(holder)} on this host`,
      `weave detach ${formatCidr(cidr)} ${how} frees it`,
    );
  }
  const same = holder.addresses.find((held) => held.address === cidr.address);
  if (same && same.prefixLength !== cidr.prefixLength) {
    throw new UserError(
      "conflict",
      `${cannot} is attached already, as ${formatCidr(same)}`,
      "detach it first to change its prefix length",
    );
  }
}

/** @throws {UserError} bad-request: nobody keeps a hosts file for it */
export function checkHostsFile(target: Target | TapTarget): void {
  if ("netns" in target && target.container?.hostsFile) return;
  throw new UserError(
    "bad-request",
    `cannot rewrite the hosts file of ${describeTarget(target)}: only a container runtime keeps one that belongs to it alone`,
    "leave out --rewrite-hosts",
  );
}

export function describeTarget(target: Target | TapTarget): string {
  return "tap" in target ? `tap '${target.tap}'` : `'${target.name}'`;
}

export function describe(attachment: Attachment): string {
  return attachment.kind === "tap" ? `tap '${attachment.name}'` : `'${attachment.name}'`;
}
