// SPDX-License-Identifier: Apache-2.0
// The /etc/hosts that `--rewrite-hosts` gives a container: its own names at its weave addresses, the operator's entries, the usual loopback
// block. Marked at both ends, so that a reader sees who wrote it.
import { type Ip, parseIp } from "../net/ip.ts";
import { UserError } from "../runtime/errors.ts";

export interface HostsEntry {
  readonly name: string;
  readonly ip: Ip;
}

/** Reads `name:ip`, as `--add-host` takes it. @throws {UserError} bad-request */
export function parseHostsEntry(text: string): HostsEntry {
  const colon = text.indexOf(":");
  const name = text.slice(0, Math.max(0, colon));
  const ip = parseIp(text.slice(colon + 1));
  if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/i.test(name) || ip === undefined) {
    throw new UserError("bad-request", `'${text}' is not a hosts entry`, "write it as name:address, for example db:10.32.1.5");
  }
  return { name, ip };
}

export interface HostsContent {
  readonly hostname: string;
  /** Without the host part; empty when there is none. */
  readonly domain: string;
  readonly addresses: readonly Ip[];
  readonly extra: readonly HostsEntry[];
}

export function renderHostsFile({ hostname, domain, addresses, extra }: HostsContent): string {
  const names = domain === "" ? hostname : `${hostname}.${domain.replace(/\.$/, "")} ${hostname}`;
  const lines = [
    "# written by weave: begin",
    ...addresses.map((ip) => `${ip.padEnd(15)} ${names}`),
    ...extra.map(({ name, ip }) => `${ip.padEnd(15)} ${name}`),
    "127.0.0.1       localhost",
    "::1             localhost ip6-localhost ip6-loopback",
    "fe00::0         ip6-localnet",
    "ff00::0         ip6-mcastprefix",
    "ff02::1         ip6-allnodes",
    "ff02::2         ip6-allrouters",
    "# written by weave: end",
  ];
  return `${lines.join("\n")}\n`;
}
