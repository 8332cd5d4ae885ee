// SPDX-License-Identifier: Apache-2.0
// Names of peers to addresses, by the machine's own resolver (hosts file, DNS, whatever nsswitch.conf says), asked anew at every attempt.
import { lookup } from "node:dns/promises";
import { type Ip, parseIp } from "../net/ip.ts";

/** All addresses of `host`, a name or an address; never empty.
 *  @throws {Error} `lookup host1: no such host` */
export async function resolveHost(host: string): Promise<readonly Ip[]> {
  const literal = parseIp(host);
  if (literal !== undefined) return [literal];
  const found = await lookup(host, { all: true, order: "verbatim" }).catch((cause: unknown) => {
    throw new Error(`lookup ${host}: ${lookupWords(cause)}`, { cause });
  });
  const addresses = found.map(({ address }) => parseIp(address)).filter((ip) => ip !== undefined);
  if (addresses.length === 0) throw new Error(`lookup ${host}: no such host`);
  return [...new Set(addresses)];
}

function lookupWords(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "ENOTFOUND" || code === "ENODATA" || code === "ENONAME") return "no such host";
  if (code === "EAI_AGAIN" || code === "ETIMEOUT" || code === "ETRYAGAIN") return "the name server does not answer";
  return code === "" ? "failed" : `failed (${code})`;
}
