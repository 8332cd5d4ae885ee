// SPDX-License-Identifier: Apache-2.0
// The name service in the API: what the server needs of it, and its operations. Paths outside /v1/ are Weave Net's.
import { parseIp } from "../net/ip.ts";
import type { Empty } from "./contract.ts";
import { readFields, readQueryFlag, readText, readTexts, refuse } from "./parse.ts";
import {
  jsonReply,
  noContentReply,
  type RawRequest,
  type Reply,
  type Route,
  type StatusText,
  statusReply,
  textReply,
} from "./route.ts";
import type { NameStatus } from "./status.ts";

/** What the API needs of the name service. */
export interface DnsBackend {
  /** With a trailing dot. */
  domain(): string;
  /** Where clients ask. @throws {UserError} unavailable: nowhere now */
  address(): { readonly host: string; readonly port: number };
  /** Of all peers that are here, removed ones too; sorted. */
  names(): readonly NameStatus[];
  /** As the operator names things. */
  add(request: NamesRequest): Promise<NamesResponse>;
  remove(request: NamesRequest): Promise<NamesResponse>;
  /** As programs do, with what `container` the daemon itself knows or not. A name outside the domain is not taken. */
  put(entry: {
    readonly container: string;
    readonly ip: string;
    readonly fqdn: string;
    readonly checkAlive: boolean;
  }): Promise<void>;
  /** Own entries that fit; what is left out fits all. */
  drop(filter: NameFilter): void;
}
export interface NameFilter {
  readonly container?: string;
  readonly ip?: string;
  readonly fqdn?: string;
}
export interface NamesRequest {
  /** A container's name or id, a namespace, whatever `attach` takes; empty: the names are nobody's. */
  readonly container: string;
  /** Empty: those the container has; for `remove`: all. */
  readonly addresses: readonly string[];
  /** Empty: the container's own; for `remove`: all. */
  readonly fqdn: string;
}
export interface NamesResponse {
  readonly changed: number;
  /** What the operator should know although it was done; whole sentences. */
  readonly warnings: readonly string[];
}

export interface DnsOperations {
  statusDns: { request: Empty; response: StatusText };
  names: { request: Empty; response: { readonly names: readonly NameStatus[] } };
  dnsAdd: { request: NamesRequest; response: NamesResponse };
  dnsRemove: { request: NamesRequest; response: NamesResponse };
  dnsDomain: { request: Empty; response: string };
  dnsAddress: { request: Empty; response: string };
  dnsAddressPort: { request: Empty; response: string };
  nameList: { request: Empty; response: readonly NameStatus[] };
  namePut: {
    request: { readonly container: string; readonly ip: string; readonly fqdn: string; readonly checkAlive: boolean };
    response: undefined;
  };
  nameDropAt: { request: NameFilter; response: undefined };
  nameDropOf: { request: NameFilter; response: undefined };
  nameDropAll: { request: NameFilter; response: undefined };
}

const EMPTY: Empty = {};

function get<Response>(path: string, doc: string, reply: Reply<Response>): Route<Empty, Response> {
  return { method: "GET", path, doc, readOnly: false, errors: "text", reply, parse: () => EMPTY, encode: () => ({}) };
}

function post(path: string, doc: string): Route<NamesRequest, NamesResponse> {
  return {
    method: "POST",
    path,
    doc,
    readOnly: false,
    errors: "json",
    reply: jsonReply<NamesResponse>(),
    parse({ body }) {
      const { container, addresses, fqdn } = readFields(body, ["container", "addresses", "fqdn"]);
      return {
        container: optional(container, "container"),
        addresses: readTexts(addresses, "addresses").map(readIp),
        fqdn: optional(fqdn, "fqdn"),
      };
    },
    encode: (body) => ({ body }),
  };
}

function drop(path: string, doc: string): Route<NameFilter, undefined> {
  return {
    method: "DELETE",
    path,
    doc,
    readOnly: false,
    errors: "text",
    reply: noContentReply,
    parse: readFilter,
    encode({ container, ip, fqdn }) {
      const params = { ...(container === undefined ? {} : { container }), ...(ip === undefined ? {} : { ip }) };
      return { params, query: new URLSearchParams(fqdn === undefined ? {} : { fqdn }) };
    },
  };
}

function readFilter({ params, query }: RawRequest): NameFilter {
  const fqdn = query.get("fqdn") ?? "";
  const { container, ip } = params;
  return {
    ...(container === undefined ? {} : { container: readText(container, "container") }),
    ...(ip === undefined ? {} : { ip: readIp(ip) }),
    ...(fqdn === "" ? {} : { fqdn: readText(fqdn, "fqdn") }),
  };
}

function optional(value: unknown, name: string): string {
  return value === undefined || value === "" ? "" : readText(value, name);
}

function readIp(text: string): string {
  return parseIp(text) ?? refuse(`invalid address '${text}'`, "write it without a prefix length, for example 10.2.1.1");
}

/** The list as Weave Net gave it: peer names as integers. */
const nameListReply: Reply<readonly NameStatus[]> = {
  write: (names) => ({
    status: 200,
    type: "application/json",
    body: `${JSON.stringify(
      names.map(({ name, container, address, origin, version, removed }) => ({
        ContainerID: container,
        Origin: Number.parseInt(origin.replaceAll(":", ""), 16),
        Addr: address,
        Hostname: name,
        Version: version,
        Tombstone: removed ? 1 : 0,
      })),
    )}\n`,
  }),
  read: () => [], // our own client asks for `names`
};

export const DNS_CONTRACT: {
  readonly [Name in keyof DnsOperations]: Route<DnsOperations[Name]["request"], DnsOperations[Name]["response"]>;
} = {
  statusDns: { ...get("/status/dns", "Every name: name, address, container, peer", statusReply), readOnly: true },
  names: {
    ...get("/v1/dns", "Every name known, those just removed too", jsonReply<{ readonly names: readonly NameStatus[] }>()),
    readOnly: true,
    errors: "json",
  },
  dnsAdd: post("/v1/dns/add", "Adds names of a container, or of nobody, at addresses"),
  dnsRemove: post("/v1/dns/remove", "Removes names of a container, or of nobody"),
  dnsDomain: get("/domain", "The domain of the names", textReply),
  dnsAddress: get("/dns-address", "Address at which names are answered", textReply),
  dnsAddressPort: get("/dns-address-port", "The same with its port", textReply),
  nameList: get("/name", "Every name known, as JSON", nameListReply),
  namePut: {
    method: "PUT",
    path: "/name/{container}/{ip}",
    doc: "Adds the name `fqdn`; one outside the domain is ignored. `check-alive=true`: unless the container is not running",
    readOnly: false,
    errors: "text",
    reply: noContentReply,
    parse: ({ params, query }) => ({
      container: readText(params["container"], "container"),
      ip: readIp(params["ip"] ?? ""),
      fqdn: readText(query.get("fqdn") ?? "", "fqdn"),
      checkAlive: readQueryFlag(query, "check-alive"),
    }),
    encode: ({ container, ip, fqdn, checkAlive }) => ({
      params: { container, ip },
      query: new URLSearchParams({ fqdn, "check-alive": String(checkAlive) }),
    }),
  },
  nameDropAt: drop("/name/{container}/{ip}", "Removes this host's names of the container at the address; `fqdn`: only that name"),
  nameDropOf: drop("/name/{container}", "Removes this host's names of the container; `fqdn`: only that name"),
  nameDropAll: drop("/name", "Removes this host's names; `fqdn`: only that name"),
};
