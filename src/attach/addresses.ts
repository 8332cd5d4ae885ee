// SPDX-License-Identifier: Apache-2.0
// Addresses as they are asked for, and the address book of a host without allocator: there explicit addresses are taken as they are, automatic ones are refused with the way out.
import { type Cidr, cidrContains, formatCidr } from "../net/cidr.ts";
import { UserError } from "../runtime/errors.ts";
import type { AddressRequest } from "./address.ts";
import type { Addresses } from "./ports.ts";

export const explicitAddresses: Addresses = {
  async claim(_owner, requests) {
    return requests.map(explicit);
  },
  async release() {},
  defaultSubnets: () => [],
};

/** Whether an address that somebody has is one of those that `request` means.
 *  @throws {UserError} unavailable: it means a default subnet and there is none */
export function isMeant(request: AddressRequest, held: Cidr, defaultSubnets: readonly Cidr[]): boolean {
  if (request.kind === "address") {
    return request.cidr.address === held.address && request.cidr.prefixLength === held.prefixLength;
  }
  if (request.kind === "subnet") return cidrContains(request.subnet, held.address);
  if (defaultSubnets.length > 0) return defaultSubnets.some((subnet) => cidrContains(subnet, held.address));
  throw new UserError("unavailable", "there is no default subnet: addresses are not allocated here", "give the address itself");
}

function explicit(request: AddressRequest): Cidr {
  if (request.kind === "address") return request.cidr;
  const what = request.kind === "subnet" ? `an address in ${formatCidr(request.subnet)}` : "an address in the default subnet";
  throw new UserError("unavailable", `cannot choose ${what}: automatic addresses are switched off here`, "give ip:A.B.C.D/len");
}
