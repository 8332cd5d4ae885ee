// SPDX-License-Identifier: Apache-2.0
// host:port as people write peers (`host1`, `host1:6783`, `10.0.0.1`, `[2001:db8::1]:6783`, `2001:db8::1`).
import { type Ip, isIpv6, parseIp } from "./ip.ts";

export interface HostPort {
  /** A name or an address, without brackets. */
  readonly host: string;
  /** undefined: the default port is meant */
  readonly port: number | undefined;
}

/** undefined when the text is neither a name nor an address with an optional port. */
export function parseHostPort(text: string): HostPort | undefined {
  const bare = parseIp(text);
  if (bare !== undefined) return { host: bare, port: undefined };
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/.exec(text);
  if (!match) return undefined;
  const port = match[3] === undefined ? undefined : Number(match[3]);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  if (match[1] !== undefined) {
    const address = parseIp(match[1]);
    return address === undefined || !isIpv6(address) ? undefined : { host: address, port };
  }
  const host = match[2]!;
  if (parseIp(host) === undefined && !isHostName(host)) return undefined;
  return { host: parseIp(host) ?? host.toLowerCase(), port };
}

// A last label of digits only would be a misspelt IPv4 address (RFC 1123 section 2.1).
function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)*\.?$/i.test(text) &&
    !/(^|\.)\d+\.?$/.test(text)
  );
}

/** `10.0.0.1:6783`, `[2001:db8::1]:6783` */
export function formatIpPort(ip: Ip, port: number): string {
  return isIpv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function parseIpPort(text: string): { ip: Ip; port: number } | undefined {
  const parsed = parseHostPort(text);
  const ip = parsed && parseIp(parsed.host);
  return ip === undefined || parsed?.port === undefined ? undefined : { ip, port: parsed.port };
}
