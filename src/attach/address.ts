// SPDX-License-Identifier: Apache-2.0
// How people write addresses for attach, detach, expose and hide: `A.B.C.D/len` or `ip:A.B.C.D/len` (this one), `net:A.B.C.D/len` (any in
// that subnet), `net:default` or nothing (any in the default subnet); IPv6 in the same forms. Says exactly what is wrong with a bad one.
import { type Cidr, cidrContains, formatCidr, hasHostBits, networkOf, parseCidr } from "../net/cidr.ts";
import { type Ip, ipBytes, ipFromBytes, isIpv6, parseIp } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";

export type AddressRequest =
  | { readonly kind: "address"; readonly cidr: Cidr }
  | { readonly kind: "subnet"; readonly subnet: Cidr }
  | { readonly kind: "default-subnet" };

const EXAMPLE = "write an address with its prefix length, such as 10.32.1.5/24 or ip:10.32.1.5/24";

/** Whether a command-line word is meant as an address, well or badly formed; names, ids, PIDs and paths are not. */
export function isAddressWord(word: string): boolean {
  if (/^(ip|net):/.test(word)) return true;
  return (
    !word.startsWith("/") && (parseIp(word) !== undefined || /^([0-9]+(\.[0-9]+)+|[0-9a-f]*:[0-9a-f:.]*)(\/.*)?$/i.test(word))
  );
}

/** Reads all addresses of one request, in order. No word at all means the default subnet.
 *  @throws {UserError} bad-request: which word and why */
export function parseAddressRequests(words: readonly string[]): readonly AddressRequest[] {
  if (words.length === 0) return [{ kind: "default-subnet" }];
  const requests = words.map(parseAddressRequest);
  const seen = new Map<Ip, Cidr>();
  for (const request of requests) {
    if (request.kind !== "address") continue;
    const before = seen.get(request.cidr.address);
    if (before) throw refuse(`address '${formatCidr(request.cidr)}' is given twice`, duplicateHint(before, request.cidr));
    seen.set(request.cidr.address, request.cidr);
  }
  return requests;
}

function duplicateHint(first: Cidr, second: Cidr): string {
  return first.prefixLength === second.prefixLength ? "give each address once" : "one address has one prefix length";
}

/** @throws {UserError} bad-request: why the word is not an address */
export function parseAddressRequest(word: string): AddressRequest {
  if (word === "net:default") return { kind: "default-subnet" };
  if (word.startsWith("net:")) return { kind: "subnet", subnet: parseSubnet(word, word.slice(4)) };
  const text = word.startsWith("ip:") ? word.slice(3) : word;
  return { kind: "address", cidr: parseHostAddress(word, text) };
}

function parseSubnet(word: string, text: string): Cidr {
  const subnet = readCidr(word, text, "write a subnet such as net:10.32.2.0/24, or net:default");
  const longest = isIpv6(subnet.address) ? 126 : 30;
  if (subnet.prefixLength > longest) {
    throw refuse(`'${word}' leaves no room for addresses: its prefix length is more than ${longest}`, "choose a shorter prefix");
  }
  if (hasHostBits(subnet)) {
    const network = formatCidr({ ...subnet, address: networkOf(subnet) });
    throw refuse(
      `'${word}' is not a subnet: it has host bits set`,
      `the subnet is net:${network}; for this one address write ip:${text}`,
    );
  }
  return subnet;
}

function parseHostAddress(word: string, text: string): Cidr {
  const cidr = readCidr(word, text, EXAMPLE);
  const why = unusable(cidr);
  if (why !== undefined) throw refuse(`'${word}' cannot be given to an interface: ${why}`, EXAMPLE);
  return cidr;
}

function readCidr(word: string, text: string, hint: string): Cidr {
  if (parseIp(text) !== undefined) {
    throw refuse(`'${word}' has no prefix length`, `write for example ${text}/${text.includes(":") ? 64 : 24}`);
  }
  const slash = text.lastIndexOf("/");
  const address = parseIp(text.slice(0, Math.max(0, slash)));
  if (address === undefined) throw refuse(`'${word}' is not an address`, hint);
  const longest = isIpv6(address) ? 128 : 32;
  const cidr = parseCidr(text);
  if (!cidr || cidr.prefixLength === 0) {
    throw refuse(`'${word}' has a bad prefix length '${text.slice(slash + 1)}'`, `it is a number from 1 to ${longest}`);
  }
  return cidr;
}

const RESERVED: readonly (readonly [string, string])[] = [
  ["0.0.0.0/8", "it lies in 0.0.0.0/8, which no host may use"],
  ["127.0.0.0/8", "it is a loopback address"],
  ["224.0.0.0/4", "it is a multicast address"],
  ["240.0.0.0/4", "it lies in the reserved range 240.0.0.0/4"],
  ["::/127", "it is the unspecified or the loopback address"],
  ["fe80::/10", "it is link-local; every interface gets such an address by itself"],
  ["ff00::/8", "it is a multicast address"],
];

function unusable(cidr: Cidr): string | undefined {
  for (const [range, why] of RESERVED) if (cidrContains(parseCidr(range)!, cidr.address)) return why; // literals above are valid
  const bits = isIpv6(cidr.address) ? 128 : 32;
  if (cidr.prefixLength >= bits - 1) return undefined; // RFC 3021, RFC 6164: both addresses of a pair are usable
  if (!hasHostBits(cidr)) return `it is the network address of ${formatCidr(cidr)}`;
  if (!isIpv6(cidr.address) && broadcastOf(cidr) === cidr.address) {
    return `it is the broadcast address of ${formatCidr({ ...cidr, address: networkOf(cidr) })}`;
  }
  return undefined;
}

/** The last address of an IPv4 subnet. */
export function broadcastOf(cidr: Cidr): Ip {
  const bytes = ipBytes(networkOf(cidr));
  for (let bit = cidr.prefixLength; bit < bytes.length * 8; bit++) bytes[bit >> 3]! |= 0x80 >> (bit & 7); // bit is below the length
  return ipFromBytes(bytes);
}

function refuse(message: string, hint: string): UserError {
  return new UserError("bad-request", message, hint);
}
