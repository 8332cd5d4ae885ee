// SPDX-License-Identifier: Apache-2.0
// What attach, detach, expose and hide share: telling addresses from the container among the words, and printing the addresses.
import type { AddressesResponse } from "../api/backend.ts";
import { parseIp } from "../net/ip.ts";
import { UsageError } from "./args.ts";
import { type Cli, outJson } from "./context.ts";

export const ADDRESS_HELP = `An address is A.B.C.D/len or ip:A.B.C.D/len, also IPv6. net:A.B.C.D/len stands for any address in that subnet, net:default for any in the default subnet.`;

/** Nothing but an address looks like this; whether it is a good one, the daemon says. */
export function isAddressWord(word: string): boolean {
  return /^(ip|net):/.test(word) || (!word.startsWith("/") && /^[0-9a-fA-F.:]+\/[^/]*$/.test(word));
}

/** The container comes last; first is taken as well when all others are addresses. @throws {UsageError} */
export function splitTarget(words: readonly string[]): { readonly target: string; readonly addresses: readonly string[] } {
  const others = words.filter((word) => !isAddressWord(word));
  const [target, second] = others;
  if (target === undefined) throw new UsageError("<container> is missing");
  const bare = others.find((word) => parseIp(word) !== undefined);
  if (second !== undefined && bare !== undefined) {
    throw new UsageError(`'${bare}' has no prefix length`, `write for example ${bare}/${bare.includes(":") ? 64 : 24}`);
  }
  if (second !== undefined) throw new UsageError(`'${target}' is not an address`, "only one container at a time; it comes last");
  return { target, addresses: words.filter((word) => word !== target) };
}

/** Warnings on stderr; the addresses without prefix lengths, separated by spaces, on one line. */
export function printAddresses(
  cli: Cli,
  command: string,
  { addresses, warnings = [] }: AddressesResponse,
  options: { readonly json: boolean },
): void {
  for (const warning of warnings) cli.err(`weave ${command}: warning: ${warning}\n`);
  if (options.json) outJson(cli, { addresses, warnings });
  else cli.out(`${addresses.map((address) => address.replace(/\/\d+$/, "")).join(" ")}\n`);
}
