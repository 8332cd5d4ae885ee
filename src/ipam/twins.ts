// SPDX-License-Identifier: Apache-2.0
// IPv6 addresses that go with IPv4 ones: the last 32 bits of a twin are the IPv4 address, what is before them is the range's, so the ring of
// IPv4 addresses serves both families.
import { type Cidr, cidrContains, formatCidr, networkOf } from "../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes } from "../net/ip.ts";
import { toNumber } from "./range.ts";

const TWIN_BITS = 96;

/** The twin of an IPv4 address with its prefix length: the same subnets exist in both families. */
export function twinOf(cidr: Cidr, range6: Cidr): Cidr {
  const bytes = ipBytes(range6.address);
  bytes.set(ipBytes(cidr.address), TWIN_BITS / 8);
  return { address: ipFromBytes(bytes), prefixLength: TWIN_BITS + cidr.prefixLength };
}

/** What two hosts must have in common for their twins to be in one subnet, as text. */
export function twinPrefix({ address }: Cidr): string {
  return formatCidr({ address: networkOf({ address, prefixLength: TWIN_BITS }), prefixLength: TWIN_BITS });
}

/** The IPv4 address whose twin this is; undefined: it is nobody's. */
export function untwin(ip: Ip, range6: Cidr): number | undefined {
  if (!cidrContains({ address: range6.address, prefixLength: TWIN_BITS }, ip)) return undefined;
  return toNumber(ipFromBytes(ipBytes(ip).slice(TWIN_BITS / 8)));
}

/** The IPv4 subnet whose twin this is; undefined: it is none, or larger than all of IPv4. */
export function untwinSubnet(subnet: Cidr, range6: Cidr): Cidr | undefined {
  const inside = { address: range6.address, prefixLength: TWIN_BITS };
  if (subnet.prefixLength < TWIN_BITS || !cidrContains(inside, subnet.address)) return undefined;
  return { address: ipFromBytes(ipBytes(subnet.address).slice(TWIN_BITS / 8)), prefixLength: subnet.prefixLength - TWIN_BITS };
}
