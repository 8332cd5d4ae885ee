// SPDX-License-Identifier: Apache-2.0
// What dns-add and dns-remove share: their words.
import type { NamesRequest } from "../api/dns.ts";
import { parseIp } from "../net/ip.ts";
import { UsageError } from "./args.ts";
import { JSON_FLAG } from "./command.ts";

export const NAME_ARGS = {
  word: { type: "positional", required: false, multiple: true, description: "addresses, then the container" },
  fqdn: { type: "string", alias: "h", valueHint: "NAME", description: "the name; inside the domain of the network" },
  ...JSON_FLAG,
} as const;
export const NAME_USAGE = ["[<ip>...] <container> [-h NAME]", "<ip>... -h NAME"];

/** @throws {UsageError} */
export function readNameWords(words: readonly string[], fqdn: string): NamesRequest {
  const addresses = words.filter((word) => parseIp(word) !== undefined);
  const [container = "", second] = words.filter((word) => parseIp(word) === undefined);
  if (second !== undefined)
    throw new UsageError(`'${container}' is not an address`, "only one container at a time; it comes last");
  return { container, addresses, fqdn };
}
