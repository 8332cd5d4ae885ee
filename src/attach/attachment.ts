// SPDX-License-Identifier: Apache-2.0
// The record of one attachment and how it changes: pure values. An operation first writes what it is about to do (`adding`, `removing`), then
// touches the kernel, then writes that it is done. What a crash leaves in `adding` is undone at the next start (nobody got an answer), what it
// leaves in `removing` is completed. So each kernel step is covered by a record that is already on disk.
//
//   (none) ──begin──▶ adding ──commit──▶ attached ──beginRemoval──▶ removing ──commit──▶ attached | (none)
//                        └────settle (failure or crash): remove what was being added──▶ attached | (none)
import type { Cidr } from "../net/cidr.ts";
import type { Mac } from "../net/mac.ts";
import type { NetnsId, PortGuard, PortPlan } from "./ports.ts";

/** Name of the interface in the container. */
export const GUEST_LINK = "ethwe";

export interface Attachment {
  /** Name of the link on the host; the key. */
  readonly hostLink: string;
  readonly kind: "veth" | "tap";
  /** Who holds the addresses: full container id, `netns:/run/netns/web`, `pid:123`, `tap:vm1`. */
  readonly owner: string;
  /** What people call it. */
  readonly name: string;
  /** Empty for a tap. */
  readonly netnsPath: string;
  readonly netnsId: NetnsId;
  readonly hostMac: Mac;
  /** MAC of `ethwe`; for a tap the tap's own, the guest's is not known. */
  readonly mac: Mac;
  /** Promised to the operator. */
  readonly addresses: readonly Cidr[];
  readonly adding: readonly Cidr[];
  readonly removing: readonly Cidr[];
  readonly multicastRoute: boolean;
  /** The switch checks source MAC and addresses at this port. */
  readonly guarded: boolean;
  /** The boot it was made in; namespaces do not survive one, taps are made again. */
  readonly bootId: string;
}

/** The record while `more` is being added. */
export function beginAdding(attachment: Attachment, more: readonly Cidr[]): Attachment {
  return { ...attachment, adding: more };
}

/** The record while some of its addresses are being taken away. */
export function beginRemoving(attachment: Attachment, gone: readonly Cidr[]): Attachment {
  const ips = new Set(gone.map((cidr) => cidr.address));
  return { ...attachment, addresses: attachment.addresses.filter((cidr) => !ips.has(cidr.address)), removing: gone };
}

/** The operation is done. */
export function commit(attachment: Attachment): Attachment {
  return { ...attachment, addresses: [...attachment.addresses, ...attachment.adding], adding: [], removing: [] };
}

/** Turns an unfinished operation into the removal of what it touched. */
export function settle(attachment: Attachment): Attachment {
  return { ...attachment, adding: [], removing: [...attachment.adding, ...attachment.removing] };
}

export function isUnfinished(attachment: Attachment): boolean {
  return attachment.adding.length > 0 || attachment.removing.length > 0;
}

/** All addresses it holds or is about to hold. */
export function heldAddresses(attachment: Attachment): readonly Cidr[] {
  return [...attachment.addresses, ...attachment.adding];
}

/** What the kernel should hold for the record as it stands, unfinished additions included. */
export function planPort(attachment: Attachment): PortPlan {
  const { hostLink, hostMac } = attachment;
  if (attachment.kind === "tap") return { kind: "tap", hostLink, hostMac };
  return {
    kind: "veth",
    hostLink,
    hostMac,
    netns: { path: attachment.netnsPath, id: attachment.netnsId },
    guestLink: GUEST_LINK,
    guestMac: attachment.mac,
    addresses: heldAddresses(attachment),
    absent: attachment.removing,
    multicastRoute: attachment.multicastRoute,
  };
}

/** What the switch checks at the port. A virtual machine chooses its own MAC, which nobody tells us, so a tap is not checked. */
export function planGuard(attachment: Attachment): PortGuard {
  const isChecked = attachment.guarded && attachment.kind === "veth";
  return { mac: isChecked ? attachment.mac : undefined, addresses: heldAddresses(attachment) };
}
