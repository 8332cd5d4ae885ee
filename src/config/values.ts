// SPDX-License-Identifier: Apache-2.0
// Reading the values options have: names, addresses, subnets, paths. Each says what is wrong and how to write it.
import { type Cidr, networkOf, parseCidr } from "../net/cidr.ts";
import { formatIpPort, parseHostPort } from "../net/endpoint.ts";
import { type Ip, isIpv6, parseIp } from "../net/ip.ts";
import { formatMac, parseMac } from "../net/mac.ts";
import { UserError } from "../runtime/errors.ts";
import { LOG_LEVELS, type LogLevel } from "../runtime/log.ts";
import { badValue } from "./option.ts";

/** A peer name in its canonical form `66:b4:a1:85:da:65`; `::` may stand for any number of zero bytes. */
export function readPeerName(text: string): string {
  const full = text.includes("::") ? expand(text) : text;
  const mac = parseMac(full.replace(/(?<![0-9a-f])([0-9a-f])(?![0-9a-f])/gi, "0$1"));
  return mac
    ? formatMac(mac)
    : badValue("name", text, "not a peer name", "write six bytes such as 66:b4:a1:85:da:65, or ::1 for 00:00:00:00:00:01");
}

function expand(text: string): string {
  const [left = "", right = "", ...more] = text.split("::").map((side) => (side === "" ? [] : side.split(":")));
  const missing = 6 - left.length - right.length;
  return more.length > 0 || missing < 1 ? "" : [...left, ...new Array<string>(missing).fill("00"), ...right].join(":");
}

export function readNickname(text: string): string {
  const fits = text.length <= 64 && /^[^\s()\p{Cc}]+$/u.test(text);
  return fits ? text : badValue("nickname", text, "not a nickname", "use up to 64 characters without spaces and parentheses");
}

export function readTrustedSubnet(text: string): Cidr {
  const cidr = parseCidr(text.trim());
  if (cidr) return { ...cidr, address: networkOf(cidr) };
  return badValue(
    "trusted-subnets",
    text,
    "not a subnet",
    "write subnets separated by commas, such as 10.0.0.0/8,192.168.1.0/24",
  );
}

export function readHost(text: string): Ip | undefined {
  if (text === "") return undefined;
  return parseIp(text) ?? badValue("host", text, "not an IP address", "give an address of this host, or leave it out for all");
}

export function readLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === (text === "warning" ? "warn" : text));
  return level ?? badValue("log-level", text, "no such level", "choose debug, info, warning or error");
}

export function readDataDir(text: string): string {
  const clean = text.length > 1 ? text.replace(/\/+$/, "") : text;
  return /^\/[^\0]+$/.test(clean) ? clean : badValue("data-dir", text, "not an absolute path", "for example /var/lib/weave");
}

export function readBridgeName(text: string): string {
  const fits = /^[^\s/:%]{1,15}$/.test(text) && text !== "." && text !== "..";
  return fits
    ? text
    : badValue("weave-bridge", text, "not the name of a link", "use up to 15 characters without '/', ':' and spaces");
}

export function readDockerApi(text: string): string {
  if (text === "" || /^unix:\/\/\/[^\0]+$/.test(text) || /^tcp:\/\/[^/\s]+$/.test(text) || /^https?:\/\/[^/\s]+$/.test(text))
    return text;
  if (text.startsWith("/")) return `unix://${text}`;
  return badValue(
    "docker-api",
    text,
    "not an endpoint",
    "write unix:///var/run/docker.sock, or an empty text to run without Docker",
  );
}

/** Where to listen: fits `Listen` of the API. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Reads `host:port`, `:port`, `/path`, `unix:///path`; an empty text and `off` are null. undefined: none of these. */
export function parseListenAddress(text: string): ListenAddress | null | undefined {
  if (text === "" || text === "off") return null;
  const path = text.startsWith("unix://") ? text.slice(7) : text;
  if (path.startsWith("/")) return Buffer.byteLength(path) <= 107 ? { kind: "unix", path } : undefined; // sun_path, unix(7)
  const parsed = parseHostPort(text.replace(/^(tcp|http):\/\//, "").replace(/^:/, "0.0.0.0:"));
  return parsed?.port === undefined ? undefined : { kind: "tcp", host: parsed.host, port: parsed.port };
}

export function readListenAddress(flag: string): (text: string) => ListenAddress | null {
  return (text) => {
    const parsed = parseListenAddress(text);
    if (parsed !== undefined) return parsed;
    return badValue(flag, text, "not an address to listen on", "write host:port such as 127.0.0.1:6784, a socket path, or 'off'");
  };
}

export function formatListenAddress(listen: ListenAddress | null): string {
  if (listen === null) return "off";
  if (listen.kind === "unix") return listen.path;
  const ip = parseIp(listen.host);
  return ip !== undefined && isIpv6(ip) ? formatIpPort(ip, listen.port) : `${listen.host}:${listen.port}`;
}

/** Where to answer DNS; undefined: on the Docker bridge. */
export interface DnsListenAddress {
  readonly host: Ip;
  readonly port: number;
}

export function readDnsListenAddress(text: string): DnsListenAddress | undefined {
  if (text === "") return undefined;
  const parsed = parseHostPort(text.replace(/^:/, "0.0.0.0:"));
  const host = parsed && parseIp(parsed.host);
  if (host !== undefined && parsed?.port !== undefined) return { host, port: parsed.port };
  return badValue("dns-listen-address", text, "not an address with a port", "write for example 172.17.0.1:53 or 0.0.0.0:53");
}

/** A host name of any number of parts, made to end in a dot. */
export function readDomain(text: string): string {
  const name = text.replace(/\.$/, "");
  const isName = name.length <= 200 && name.split(".").every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
  return isName ? `${name}.` : badValue("dns-domain", text, "not a domain", "for example weave.local");
}

/** Milliseconds of `5s`, `500ms` or `5` (seconds). */
export function readDuration(flag: string, maxMs: number): (text: string) => number {
  return (text) => {
    const [, number = "", unit = "s"] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text) ?? [];
    const ms = Number(number) * { ms: 1, s: 1000, m: 60_000 }[unit as "ms" | "s" | "m"]; // one of the three, the pattern says
    return number !== "" && ms >= 1 && ms <= maxMs
      ? ms
      : badValue(flag, text, "not a duration", `write for example 5s or 500ms, at most ${maxMs / 1000}s`);
  };
}

export function readPath(flag: string): (text: string) => string {
  return (text) =>
    /^\/[^\0]+$/.test(text) ? text : badValue(flag, text, "not an absolute path", "for example /etc/resolv.conf");
}

/** A target as people write it; names are resolved later. */
export function readPeer(text: string): string {
  if (parseHostPort(text) !== undefined) return text;
  const hint = "write a name or an address, with :port when it is not the default";
  throw new UserError("bad-request", `invalid peer '${text}'`, hint);
}
