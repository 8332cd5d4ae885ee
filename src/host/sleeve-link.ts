// SPDX-License-Identifier: Apache-2.0
// The link between the switch and the user-space sleeve: a veth pair in the host's own namespace, on no bridge and without addresses.
//
//   switch (BPF) ── vethwe-sleeve ══ vethwe-pcap ── sleeve (libpcap, packet socket)
//
// Frames of any size cross it whole, with their checksums and segments still to be made, so its MTU is the largest there is.
import { type Mac, macFromNumber } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import type { Link, Links } from "./links.ts";

/** The switch's end, and the one at which the sleeve captures and injects. */
export const SWITCH_END = "vethwe-sleeve";
export const CAPTURE_END = "vethwe-pcap";
const MTU_BYTES = 65_535;
/** linux/rtnetlink.h */
const RT_SCOPE_LINK = 253;

export interface EnsuredSleeveLink {
  /** Index of the switch's end. */
  readonly ifindex: number;
  /** What was not as it should be and now is. */
  readonly repaired: readonly string[];
}

/** Makes the pair what it should be; does nothing when it is. `mac` is the bridge's. @throws {UserError} a name is taken by another kind of link
 *  @throws {SystemError} */
export function ensureSleeveLink(links: Links, mac: Mac): EnsuredSleeveLink {
  const repaired: string[] = [];
  let ends = find(links);
  const isNew = ends === undefined;
  if (isNew) {
    links.delete(SWITCH_END);
    links.delete(CAPTURE_END);
    const host = { name: SWITCH_END, mac: derived(mac, 0x40), mtuBytes: MTU_BYTES };
    links.createVeth(host, { name: CAPTURE_END, mac: derived(mac, 0x41), mtuBytes: MTU_BYTES });
    ends = find(links);
  }
  if (ends === undefined) throw new UserError("unavailable", `link '${SWITCH_END}' was removed while it was set up`, "try again");
  for (const end of ends) {
    if (end.mtuBytes !== MTU_BYTES) {
      links.change(end.index, { mtuBytes: MTU_BYTES });
      repaired.push(`'${end.name}' had another MTU`);
    }
    if (!end.addressless) {
      links.setAddressless(end.index); // before it is up, or the kernel gives it an address
      for (const { cidr, scope } of links.addresses(end.index)) if (scope === RT_SCOPE_LINK) links.deleteAddress(end.index, cidr);
      if (end.up) repaired.push(`'${end.name}' gave itself addresses`);
    }
    if (!end.up) {
      links.change(end.index, { up: true });
      repaired.push(`'${end.name}' was down`);
    }
  }
  return { ifindex: ends[0].index, repaired: isNew ? ["sleeve link was missing"] : repaired };
}

/** Both ends of our pair, the switch's first; undefined when it is not whole. */
function find(links: Links): readonly [Link, Link] | undefined {
  const [first, second] = [links.get(SWITCH_END), links.get(CAPTURE_END)];
  for (const link of [first, second]) {
    if (link !== undefined && link.kind !== "veth") {
      throw new UserError(
        "conflict",
        `cannot set up '${link.name}': a link of kind '${link.kind}' has that name`,
        `rename it, or remove it with 'ip link delete ${link.name}'`,
      );
    }
  }
  return first && second && first.peerIndex === second.index ? [first, second] : undefined;
}

function derived(mac: Mac, bits: number): Mac {
  const last = mac % 256;
  return macFromNumber(mac - last + (last ^ bits));
}
