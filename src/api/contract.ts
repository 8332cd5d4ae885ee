// SPDX-License-Identifier: Apache-2.0
// The contract: every HTTP operation, once. The server finds and serves these, the client calls them. Paths outside /v1/ are those of Weave
// Net, with its texts and status codes, because scripts, monitoring and plugins use them.
import { UserError } from "../runtime/errors.ts";
import type {
  AddressesResponse,
  AttachRequest,
  DetachRequest,
  ExposeRequest,
  JoinedBridges,
  PasswordChange,
  Reloaded,
  RemovedPeer,
} from "./backend.ts";
import { DNS_CONTRACT, type DnsOperations } from "./dns.ts";
import { IPAM_ROUTES, type IpamOperations } from "./ipam-contract.ts";
import {
  readCidr,
  readCount,
  readFields,
  readFlag,
  readQueryFlag,
  readQueryTexts,
  readSecret,
  readText,
  readTexts,
  refuse,
} from "./parse.ts";
import { PING_COUNT_MAX, PING_SIZE_MAX, type PingRequest, type PingResponse } from "./ping.ts";
import {
  jsonReply,
  metricsReply,
  noContentReply,
  type Reply,
  type Route,
  type StatusText,
  statusReply,
  textReply,
} from "./route.ts";
import type { Health, PsEntry, StatusModel } from "./status.ts";

/** Nothing to say in the request. */
export type Empty = Readonly<Record<never, never>>;
export type ReportRequest = { readonly as: "json" } | { readonly as: "template"; readonly template: string };

/** What each operation takes and gives. */
export interface Operations extends DnsOperations, IpamOperations {
  statusText: { request: Empty; response: StatusText };
  statusConnections: { request: Empty; response: StatusText };
  statusPeers: { request: Empty; response: StatusText };
  statusTargets: { request: Empty; response: StatusText };
  proxyAddresses: { request: Empty; response: string };
  report: { request: ReportRequest; response: { readonly as: ReportRequest["as"]; readonly text: string } };
  metrics: { request: Empty; response: string };
  connect: { request: { readonly peers: readonly string[]; readonly replace: boolean }; response: readonly string[] };
  forget: { request: { readonly peers: readonly string[] }; response: string };
  exposeOne: { request: { readonly address: string; readonly masquerade: boolean }; response: undefined };
  hideOne: { request: { readonly address: string }; response: undefined };
  leave: { request: Empty; response: undefined };
  removePeer: { request: { readonly id: string; readonly revoke: boolean }; response: string };
  health: { request: Empty; response: Health };
  status: { request: Empty; response: StatusModel };
  attach: { request: AttachRequest; response: AddressesResponse };
  detach: { request: DetachRequest; response: AddressesResponse };
  expose: { request: ExposeRequest; response: AddressesResponse };
  hide: { request: { readonly addresses: readonly string[] }; response: AddressesResponse };
  joinBridge: { request: { readonly bridge: string }; response: JoinedBridges };
  leaveBridge: { request: { readonly bridge: string }; response: JoinedBridges };
  ps: { request: { readonly words: readonly string[] }; response: { readonly entries: readonly PsEntry[] } };
  ping: { request: PingRequest; response: PingResponse };
  reload: { request: Empty; response: Reloaded };
  passwords: { request: Empty; response: { readonly fingerprints: readonly string[] } };
  addPassword: { request: { readonly password: string }; response: PasswordChange };
  removePassword: { request: { readonly password: string; readonly force: boolean }; response: PasswordChange };
}
export type OperationName = keyof Operations;
export type RequestOf<Name extends OperationName> = Operations[Name]["request"];
export type ResponseOf<Name extends OperationName> = Operations[Name]["response"];

const EMPTY: Empty = {};

function statusPage(path: string, doc: string): Route<Empty, StatusText> {
  return { method: "GET", path, doc, readOnly: true, errors: "text", reply: statusReply, parse: () => EMPTY, encode: () => ({}) };
}

function getJson<Response extends object>(path: string, doc: string): Route<Empty, Response> {
  return {
    method: "GET",
    path,
    doc,
    readOnly: true,
    errors: "json",
    reply: jsonReply<Response>(),
    parse: () => EMPTY,
    encode: () => ({}),
  };
}

function postJson<Request extends object, Response extends object>(
  path: string,
  doc: string,
  parse: (body: unknown) => Request,
): Route<Request, Response> {
  return {
    method: "POST",
    path,
    doc,
    readOnly: false,
    errors: "json",
    reply: jsonReply<Response>(),
    parse: ({ body }) => parse(body),
    encode: (body) => ({ body }),
  };
}

function bridgeOf(body: unknown): { readonly bridge: string } {
  return { bridge: readText(readFields(body, ["bridge"])["bridge"], "bridge") };
}

function peersQuery(peers: readonly string[], replace = false): URLSearchParams {
  const query = new URLSearchParams(peers.map((peer): [string, string] => ["peer", peer]));
  if (replace) query.set("replace", "true");
  return query;
}

/** `address/length` as the two parts of a path; an IPv6 address keeps its colons. */
function addressParams(address: string): Readonly<Record<string, string>> {
  const slash = address.lastIndexOf("/");
  return { ip: address.slice(0, slash), prefixlen: address.slice(slash + 1) };
}

function addressOf(params: Readonly<Record<string, string>>): string {
  const text = `${params["ip"]}/${params["prefixlen"]}`;
  readCidr(text);
  return text;
}

/** 200 with nothing, or 400 with a line for each target that was refused. */
const connectReply: Reply<readonly string[]> = {
  accepts: [200, 400],
  write: (lines) => ({
    status: lines.length === 0 ? 200 : 400,
    type: "text/plain; charset=utf-8",
    body: lines.map((line) => `${line}\n`).join(""),
  }),
  read: ({ body }) => body.split("\n").filter((line) => line !== ""),
};

const reportReply: Reply<ResponseOf<"report">> = {
  write: ({ as, text }) => ({ status: 200, type: as === "json" ? "application/json" : "text/plain; charset=utf-8", body: text }),
  read: ({ body }) => ({ as: "template", text: body }),
};

/** The words of `rmpeer`. */
export function removedPeerText(id: string, removed: RemovedPeer): string {
  const taken = removed.addressesTakenOver === undefined ? "" : `${removed.addressesTakenOver} IPs taken over from ${id}\n`;
  return removed.revoked ? `${taken}${id} revoked\n` : taken;
}

export const CONTRACT: { readonly [Name in OperationName]: Route<RequestOf<Name>, ResponseOf<Name>> } = {
  ...DNS_CONTRACT,
  statusText: statusPage("/status", "Overview as text; 503 with the same text until the daemon is ready"),
  statusConnections: statusPage("/status/connections", "One line per connection and target being tried"),
  statusPeers: statusPage("/status/peers", "Every peer and its connections"),
  statusTargets: statusPage("/status/targets", "The targets as they were given, one per line"),
  statusIpam: statusPage("/status/ipam", "Who owns how many addresses"),
  proxyAddresses: {
    ...getJson<object>("/proxyaddrs", "Where Docker's clients reach the proxy, one address per line; 404 without proxy"),
    reply: textReply,
    errors: "text",
  },
  ...IPAM_ROUTES,
  report: {
    method: "GET",
    path: "/report",
    doc: "Everything: as JSON with `Accept: application/json`, or the text of the Go template in `?format=`",
    readOnly: true,
    errors: "text",
    reply: reportReply,
    parse({ query, accept }) {
      if (accept.trim() === "application/json") return { as: "json" };
      const [template, ...more] = query.getAll("format");
      if (template !== undefined && more.length === 0) return { as: "template", template };
      return refuse("give one 'format' parameter, or the header 'Accept: application/json'");
    },
    encode: (request) =>
      request.as === "json" ? { accept: "application/json" } : { query: new URLSearchParams({ format: request.template }) },
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    doc: "Prometheus text",
    readOnly: true,
    errors: "text",
    reply: metricsReply,
    parse: () => EMPTY,
    encode: () => ({}),
  },
  connect: {
    method: "POST",
    path: "/connect",
    doc: "Adds each `peer` as a target; `replace=true` forgets all others. 400 with one line per bad one, the good ones are added",
    readOnly: false,
    errors: "text",
    reply: connectReply,
    parse: ({ query }) => ({ peers: readQueryTexts(query, "peer"), replace: readQueryFlag(query, "replace") }),
    encode: ({ peers, replace }) => ({ query: peersQuery(peers, replace) }),
  },
  forget: {
    method: "POST",
    path: "/forget",
    doc: "Removes each `peer` from the targets; unknown ones are ignored",
    readOnly: false,
    errors: "text",
    reply: textReply,
    parse: ({ query }) => ({ peers: readQueryTexts(query, "peer") }),
    encode: ({ peers }) => ({ query: peersQuery(peers) }),
  },
  exposeOne: {
    method: "POST",
    path: "/expose/{ip}/{prefixlen}",
    doc: "Gives the host this address; `skipNAT=true`: without masquerading",
    readOnly: false,
    errors: "text",
    reply: noContentReply,
    parse: ({ params, query }) => ({ address: addressOf(params), masquerade: !readQueryFlag(query, "skipNAT") }),
    encode: ({ address, masquerade }) => ({
      params: addressParams(address),
      query: new URLSearchParams(masquerade ? {} : { skipNAT: "true" }),
    }),
  },
  hideOne: {
    method: "DELETE",
    path: "/expose/{ip}/{prefixlen}",
    doc: "Takes this address from the host",
    readOnly: false,
    errors: "text",
    reply: noContentReply,
    parse: ({ params }) => ({ address: addressOf(params) }),
    encode: ({ address }) => ({ params: addressParams(address) }),
  },
  leave: {
    method: "DELETE",
    path: "/peer",
    doc: "This host leaves for good: hands over what peers must take over from it",
    readOnly: false,
    errors: "text",
    reply: noContentReply,
    parse: () => EMPTY,
    encode: () => ({}),
  },
  removePeer: {
    method: "DELETE",
    path: "/peer/{id}",
    doc: "Takes over what the peer (nickname or name) owned; `revoke=true`: and refuses its key everywhere from now on",
    readOnly: false,
    errors: "text",
    reply: textReply,
    parse: ({ params, query }) => ({ id: readText(params["id"], "id"), revoke: readQueryFlag(query, "revoke") }),
    encode: ({ id, revoke }) => ({ params: { id }, query: new URLSearchParams(revoke ? { revoke: "true" } : {}) }),
  },
  health: getJson("/v1/health", "Whether the daemon is ready, its version, process id and peer name"),
  status: getJson("/v1/status", "The whole status model"),
  attach: postJson("/v1/attach", "Attaches a container, namespace or tap", (body) => {
    const fields = readFields(body, [
      "target",
      "tap",
      "addresses",
      "noMulticastRoute",
      "noSpoofCheck",
      "rewriteHosts",
      "addHosts",
      "withoutDns",
    ]);
    return {
      target: readText(fields["target"], "target"),
      tap: readFlag(fields["tap"], "tap"),
      addresses: readTexts(fields["addresses"], "addresses"),
      noMulticastRoute: readFlag(fields["noMulticastRoute"], "noMulticastRoute"),
      noSpoofCheck: readFlag(fields["noSpoofCheck"], "noSpoofCheck"),
      rewriteHosts: readFlag(fields["rewriteHosts"], "rewriteHosts"),
      addHosts: readTexts(fields["addHosts"], "addHosts"),
      withoutDns: readFlag(fields["withoutDns"], "withoutDns"),
    };
  }),
  detach: postJson("/v1/detach", "Takes addresses, or all, from an attached container, namespace or tap", (body) => {
    const fields = readFields(body, ["target", "tap", "addresses"]);
    return {
      target: readText(fields["target"], "target"),
      tap: readFlag(fields["tap"], "tap"),
      addresses: readTexts(fields["addresses"], "addresses"),
    };
  }),
  expose: postJson("/v1/expose", "Gives the host addresses", (body) => {
    const fields = readFields(body, ["addresses", "masquerade", "fqdn"]);
    return {
      ...(fields["fqdn"] === undefined ? {} : { fqdn: readText(fields["fqdn"], "fqdn") }),
      addresses: readTexts(fields["addresses"], "addresses"),
      masquerade: fields["masquerade"] === undefined || readFlag(fields["masquerade"], "masquerade"),
    };
  }),
  hide: postJson("/v1/hide", "Takes addresses from the host", (body) => ({
    addresses: readTexts(readFields(body, ["addresses"])["addresses"], "addresses"),
  })),
  joinBridge: postJson("/v1/bridges/join", "Makes another bridge of this host a part of the network", bridgeOf),
  leaveBridge: postJson("/v1/bridges/leave", "Takes it from the network again", bridgeOf),
  ps: {
    ...getJson<ResponseOf<"ps">>("/v1/ps", "What is attached here, or what each `container` has"),
    readOnly: false,
    parse: ({ query }) => ({ words: readQueryTexts(query, "container") }),
    encode: ({ words }) => ({ query: new URLSearchParams(words.map((word): [string, string] => ["container", word])) }),
  },
  ping: postJson(
    "/v1/ping",
    "Measures every path to a peer: `count` rounds of probes, one if it is absent, five in a second, each of `sizeBytes`",
    (body) => {
      const fields = readFields(body, ["peer", "count", "sizeBytes"]);
      const size = fields["sizeBytes"];
      return {
        peer: readText(fields["peer"], "peer"),
        count: readCount(fields["count"], "count", PING_COUNT_MAX, 1),
        sizeBytes: size === undefined ? undefined : readCount(size, "sizeBytes", PING_SIZE_MAX, 1),
      };
    },
  ),
  reload: postJson("/v1/reload", "Takes over what has changed in the configuration", () => EMPTY),
  passwords: {
    ...getJson<ResponseOf<"passwords">>("/v1/passwords", "Four digits of a hash of each valid password"),
    readOnly: false, // of no use to others, and some to one who guesses
  },
  addPassword: postJson("/v1/passwords/add", "Makes one more password valid, now and after restarts", (body) => ({
    password: readSecret(readFields(body, ["password"])["password"], "password"),
  })),
  removePassword: postJson("/v1/passwords/remove", "Makes a password invalid; `force`: also the last one", (body) => {
    const fields = readFields(body, ["password", "force"]);
    return { password: readSecret(fields["password"], "password"), force: readFlag(fields["force"], "force") };
  }),
};

/** A request for what is not there: an unknown path, or a service that is off. */
export class MissingFeature extends UserError {
  constructor(path: string) {
    super("not-found", `the daemon does not offer '${path}'`, "it may be another version; see 'weave version'");
    this.name = "MissingFeature";
  }
}
