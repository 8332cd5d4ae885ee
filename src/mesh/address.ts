// SPDX-License-Identifier: Apache-2.0
// `ip:port` of the underlay, as links name their ends, taken apart and put together for dialling.
import { formatIpPort, parseHostPort, parseIpPort } from "../net/endpoint.ts";
import { isIpv6, parseIp } from "../net/ip.ts";

/** The address without its port; the text itself when it is no `ip:port`. */
export function ipOf(address: string): string {
  return parseIpPort(address)?.ip ?? address;
}

/** The same host at another port; undefined when the text is no `ip:port`. */
export function withPort(address: string, port: number): string | undefined {
  const parsed = parseIpPort(address);
  return parsed && formatIpPort(parsed.ip, port);
}

/** What to dial for a target as its owner wrote it; without a port the default is added. undefined: not a host. */
export function dialAddress(target: string, defaultPort: number): string | undefined {
  const parsed = parseHostPort(target);
  if (!parsed) return undefined;
  const ip = parseIp(parsed.host);
  const port = parsed.port ?? defaultPort;
  return ip !== undefined && isIpv6(ip) ? formatIpPort(ip, port) : `${parsed.host}:${port}`;
}
