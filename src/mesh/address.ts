// SPDX-License-Identifier: Apache-2.0
// `ip:port` of the underlay, as links name their ends, taken apart and put together for dialling.
import { formatIpPort, parseHostPort } from "../net/endpoint.ts";
import { isIpv6, parseIp } from "../net/ip.ts";

/** The address without its port, of an `ip:port` that a link or a checked record names. */
export function ipOf(address: string): string {
  const colon = address.lastIndexOf(":");
  if (colon < 0) return address;
  return address.startsWith("[") && address[colon - 1] === "]" ? address.slice(1, colon - 1) : address.slice(0, colon);
}

/** The same host at another port; undefined when the text is no `ip:port`. */
export function withPort(address: string, port: number): string | undefined {
  return atPort(ipOf(address), port);
}

/** `ip:port` of an address without port; undefined when the text is none. */
export function atPort(ip: string, port: number): string | undefined {
  const parsed = parseIp(ip);
  return parsed && formatIpPort(parsed, port);
}

/** What to dial for a target as its owner wrote it; without a port the default is added. undefined: not a host. */
export function dialAddress(target: string, defaultPort: number): string | undefined {
  const parsed = parseHostPort(target);
  if (!parsed) return undefined;
  const ip = parseIp(parsed.host);
  const port = parsed.port ?? defaultPort;
  return ip !== undefined && isIpv6(ip) ? formatIpPort(ip, port) : `${parsed.host}:${port}`;
}
