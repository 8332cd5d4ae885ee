// SPDX-License-Identifier: Apache-2.0
// The operations of address allocation: Weave Net's paths with its texts, which plugins and scripts call, and `prime`. Without allocation all are 404.
import type { IpClaim, IpQuery } from "./backend.ts";
import { readCidr, readFields, readQueryFlag, readText, refuse } from "./parse.ts";
import { jsonReply, noContentReply, type RawRequest, type Reply, type Route, textReply } from "./route.ts";

type Nothing = Readonly<Record<never, never>>;

export interface IpamOperations {
  statusIpam: { request: Nothing; response: { readonly ready: boolean; readonly text: string } };
  ipAllocate: { request: IpQuery; response: string };
  ipAllocateIn: { request: IpQuery; response: string };
  ipClaim: { request: IpClaim; response: undefined };
  ipLookup: { request: IpQuery; response: string };
  ipLookupIn: { request: IpQuery; response: string };
  ipList: { request: Nothing; response: IpOwners };
  ipRelease: { request: { readonly id: string; readonly ip: string }; response: undefined };
  ipReleaseAll: { request: { readonly id: string }; response: undefined };
  defaultSubnet: { request: Nothing; response: string };
  tracker: { request: Nothing; response: string };
  ring: { request: Nothing; response: string };
  prime: { request: Nothing; response: { readonly ready: boolean } };
}

export interface IpOwners {
  readonly owned: readonly { readonly containerid: string; readonly addrs: readonly string[] }[] | null;
}

type Params = RawRequest["params"];
const NOTHING: Nothing = {};

function subnetOf(params: Params): string {
  const text = `${params["ip"]}/${params["prefixlen"]}`;
  readCidr(text);
  return text;
}
const idOf = (params: Params): string => readText(params["id"], "id");
function paramsOf(id: string, cidr: string): Params {
  const [ip = "", prefixlen = ""] = cidr.split("/");
  return { id, ip, prefixlen };
}

function text<Request>(
  route: Pick<Route<Request, string>, "method" | "path" | "doc" | "parse" | "encode">,
): Route<Request, string> {
  return { ...route, readOnly: false, errors: "text", reply: textReply };
}
function silent<Request>(
  route: Pick<Route<Request, undefined>, "method" | "path" | "doc" | "parse" | "encode">,
): Route<Request, undefined> {
  return { ...route, readOnly: false, errors: "text", reply: noContentReply };
}
function fact(path: string, doc: string): Route<Nothing, string> {
  return text({ method: "GET", path, doc, parse: () => NOTHING, encode: () => ({}) });
}

const aliveQuery = ({ checkAlive }: { readonly checkAlive: boolean }): URLSearchParams =>
  new URLSearchParams(checkAlive ? { "check-alive": "true" } : {});
const parseQuery = ({ params, query }: RawRequest): IpQuery => ({
  id: idOf(params),
  subnet: undefined,
  checkAlive: readQueryFlag(query, "check-alive"),
});
const parseQueryIn = (raw: RawRequest): IpQuery => ({ ...parseQuery(raw), subnet: subnetOf(raw.params) });
const encodeQuery = (request: IpQuery): Partial<RawRequest> => ({ params: { id: request.id }, query: aliveQuery(request) });
const encodeQueryIn = (request: IpQuery): Partial<RawRequest> => ({
  params: paramsOf(request.id, request.subnet ?? ""),
  query: aliveQuery(request),
});

/** An empty list was null, and the object ended with its last brace. */
const ownersReply: Reply<IpOwners> = {
  ...jsonReply<IpOwners>(),
  write: (owners) => ({ status: 200, type: "application/json", body: JSON.stringify(owners) }),
};

export const IPAM_ROUTES: {
  readonly [Name in Exclude<keyof IpamOperations, "statusIpam">]: Route<
    IpamOperations[Name]["request"],
    IpamOperations[Name]["response"]
  >;
} = {
  ipAllocate: text({
    method: "POST",
    path: "/ip/{id}",
    doc: "An address in the default subnet for `id`, the one it has if it has one; waits until there is one",
    parse: parseQuery,
    encode: encodeQuery,
  }),
  ipAllocateIn: text({
    method: "POST",
    path: "/ip/{id}/{ip}/{prefixlen}",
    doc: "The same in this subnet",
    parse: parseQueryIn,
    encode: encodeQueryIn,
  }),
  ipClaim: silent({
    method: "PUT",
    path: "/ip/{id}/{ip}/{prefixlen}",
    doc: "Just this address for `id`; `noErrorOnUnknown=true`: does not wait for the ring",
    parse: ({ params, query }) => ({
      id: idOf(params),
      cidr: subnetOf(params),
      checkAlive: readQueryFlag(query, "check-alive"),
      noErrorOnUnknown: readQueryFlag(query, "noErrorOnUnknown"),
    }),
    encode(request) {
      const query = aliveQuery(request);
      if (request.noErrorOnUnknown) query.set("noErrorOnUnknown", "true");
      return { params: paramsOf(request.id, request.cidr), query };
    },
  }),
  ipLookup: text({
    method: "GET",
    path: "/ip/{id}",
    doc: "What `id` has in the default subnet, separated by spaces",
    parse: parseQuery,
    encode: encodeQuery,
  }),
  ipLookupIn: text({
    method: "GET",
    path: "/ip/{id}/{ip}/{prefixlen}",
    doc: "What `id` has in this subnet",
    parse: parseQueryIn,
    encode: encodeQueryIn,
  }),
  ipList: {
    method: "GET",
    path: "/ip",
    doc: "All addresses given out on this host",
    readOnly: false,
    errors: "text",
    reply: ownersReply,
    parse: () => NOTHING,
    encode: () => ({}),
  },
  ipRelease: silent({
    method: "DELETE",
    path: "/ip/{id}/{ip}",
    doc: "Releases one address of `id`",
    parse: ({ params }) => ({ id: idOf(params), ip: readText(params["ip"], "ip") }),
    encode: ({ id, ip }) => ({ params: { id, ip } }),
  }),
  ipReleaseAll: silent({
    method: "DELETE",
    path: "/ip/{id}",
    doc: "Releases all addresses of `id`",
    parse: ({ params }) => ({ id: idOf(params) }),
    encode: ({ id }) => ({ params: { id } }),
  }),
  defaultSubnet: fact("/ipinfo/defaultsubnet", "Where addresses are chosen when nothing else is asked for"),
  tracker: fact("/ipinfo/tracker", "What follows the allocation of addresses: nothing"),
  ring: fact("/ring", "Answers once the peers have shared addresses out"),
  prime: {
    method: "POST",
    path: "/v1/prime",
    doc: "The same, for as long as a request for an address may take",
    readOnly: false,
    errors: "text",
    reply: jsonReply<{ readonly ready: boolean }>(),
    parse({ body }) {
      if (body === undefined) refuse("the request body is not a JSON object");
      readFields(body, []);
      return NOTHING;
    },
    encode: () => ({ body: {} }),
  },
};
