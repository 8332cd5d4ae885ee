// SPDX-License-Identifier: Apache-2.0
// Requests that a web page made a browser send to our TCP listeners are refused: pages can reach 127.0.0.1, and by rebinding a name they
// could even read the answers. Tools send no Origin, and name a loopback listener by address or as localhost.
import { parseHostPort } from "../net/endpoint.ts";
import { parseIp } from "../net/ip.ts";
import type { Listen } from "./listen.ts";

/** Why the request is not from a tool on this machine or of its administrator; undefined when it may be served. */
export function whyForeign(listen: Listen, request: Request): string | undefined {
  if (listen.kind === "unix") return undefined;
  if (request.headers.has("origin") && request.method !== "GET") return "requests from web pages are refused";
  if (!isLoopback(listen.host)) return undefined; // others may well know this host by a name
  const host = request.headers.get("host") ?? "";
  const name = parseHostPort(host)?.host;
  if (name === undefined) return `malformed Host header '${host.slice(0, 100)}'`;
  if (parseIp(name) !== undefined || name === "localhost") return undefined;
  return `this listener is reached by its address, not as '${name}'`;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
