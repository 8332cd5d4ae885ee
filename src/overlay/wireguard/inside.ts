// SPDX-License-Identifier: Apache-2.0
// Addresses inside WireGuard: each peer has one in a ULA prefix of the whole network, taken from the key of its identity, so nobody has to
// hand them out and nobody can choose somebody else's.
import { utf8 } from "../../mesh/secure/sealing.ts";
import type { Cidr } from "../../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes, parseIp } from "../../net/ip.ts";
import { invariant } from "../../runtime/errors.ts";

const PREFIX = parseIp("fd77:6561:7665::"); // "wea" "ve" in ASCII behind fd
invariant(PREFIX !== undefined, "the prefix is an address");
/** All that can be inside, RFC 4193. */
export const INSIDE_PREFIX: Cidr = { address: PREFIX, prefixLength: 48 };
const PREFIX_BYTES = INSIDE_PREFIX.prefixLength / 8;
const LABEL = utf8("weave inside address");

/** The prefix, then 80 bits of BLAKE2b-512 over the label and the 32 bytes of the identity's public key. Finding a second key for an address
 *  costs 2^80 key pairs. */
export function insideAddress(identity: Uint8Array, blake2b: (message: Uint8Array) => Uint8Array): Ip {
  const message = new Uint8Array(LABEL.length + identity.length);
  message.set(LABEL);
  message.set(identity, LABEL.length);
  const address = ipBytes(INSIDE_PREFIX.address);
  address.set(blake2b(message).subarray(0, address.length - PREFIX_BYTES), PREFIX_BYTES);
  return ipFromBytes(address);
}
