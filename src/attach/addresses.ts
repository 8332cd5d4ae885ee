// SPDX-License-Identifier: Apache-2.0
// The address book while there is no allocator: explicit addresses are taken as they are, automatic ones are refused with the way out.
import { type Cidr, formatCidr } from "../net/cidr.ts";
import { UserError } from "../runtime/errors.ts";
import type { AddressRequest } from "./address.ts";
import type { Addresses } from "./ports.ts";

export const explicitAddresses: Addresses = {
  async claim(_owner, requests) {
    return requests.map(explicit);
  },
  async release() {},
};

function explicit(request: AddressRequest): Cidr {
  if (request.kind === "address") return request.cidr;
  const what = request.kind === "subnet" ? `an address in ${formatCidr(request.subnet)}` : "an address in the default subnet";
  throw new UserError("unavailable", `cannot choose ${what}: automatic addresses are not available yet`, "give ip:A.B.C.D/len");
}
