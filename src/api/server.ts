// SPDX-License-Identifier: Apache-2.0
// Serves the contract over HTTP: finds the operation, reads the bounded request, calls its handler, writes the answer or the refusal.
// Bun closes clients that are slow with headers (about 12 s) or body (about 8 s), so connections cannot pile up.
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { CONTRACT, MissingFeature, type OperationName, type RequestOf, type ResponseOf } from "./contract.ts";
import { whyForeign } from "./guard.ts";
import type { Handlers } from "./handlers.ts";
import type { Listen } from "./listen.ts";
import { Pacer } from "./pacer.ts";
import { refuse } from "./parse.ts";
import type { Answer, RawRequest, Route } from "./route.ts";
import { findOperation } from "./router.ts";

/** Bytes of one request body. The largest sensible one, 256 addresses, has about 12 kB. */
export const BODY_LIMIT_BYTES = 64 * 1024;

// Bun cuts a connection that is idle for 10 s, also while its handler is at work; attaching may have to wait for Docker or for other hosts. Bun
// 1.4.5 heeds a longer time for one request only when that has a body; Weave Net's clients ask for addresses without one, so where they are
// served the limit is the connection's. There whoever connects may do anything anyway.
const HANDLER_LIMIT_SECONDS = 120;

export interface ServerOptions {
  readonly handlers: Handlers;
  /** Only operations that change nothing. */
  readonly readOnly: boolean;
  readonly log: Log;
  /** Requests by outcome: `ok`, `refused`, `failed`, `not-found`. */
  readonly requests: Counter;
  readonly clock?: Clock;
}

/** Bun's options of one listener for the contract; `listen.ts` binds it. */
export function serveOptions(options: ServerOptions, listen: Listen) {
  const pacer = options.readOnly ? new Pacer(options.clock ?? systemClock) : undefined;
  return {
    maxRequestBodySize: BODY_LIMIT_BYTES,
    ...(options.readOnly ? {} : patience()),
    fetch: (request: Request, server: Bun.Server<undefined>): Promise<Response> =>
      respond({ ...options, pacer }, listen, request, () => server.timeout(request, HANDLER_LIMIT_SECONDS)),
    error: (error: Error): Response => {
      options.log.error("api request failed", { reason: error.message });
      return new Response("internal error\n", { status: 500 });
    },
  };
}

/** An object without visible keys: Bun's types have this one for TCP only, its unix sockets heed it too. */
function patience(): object {
  return { idleTimeout: HANDLER_LIMIT_SECONDS };
}

type Serving = ServerOptions & { readonly pacer: Pacer | undefined };

/** @param allowTime called when the whole request is here and its handler begins */
async function respond(options: Serving, listen: Listen, request: Request, allowTime: () => void): Promise<Response> {
  const foreign = whyForeign(listen, request);
  if (foreign !== undefined) {
    options.requests.add("refused");
    return new Response(`${foreign}\n`, { status: 403 });
  }
  const found = findOperation(request.method, pathOf(request.url), options);
  if (found === undefined || "allow" in found) {
    options.requests.add("not-found");
    if (found === undefined) return new Response("404 page not found\n", { status: 404 });
    return new Response("405 method not allowed\n", { status: 405, headers: { Allow: found.allow.join(", ") } });
  }
  return toResponse(await run(options, found.name, found.params, request, allowTime));
}

async function run<Name extends OperationName>(
  options: Serving,
  name: Name,
  params: RawRequest["params"],
  request: Request,
  allowTime: () => void,
): Promise<Answer> {
  const route: Route<RequestOf<Name>, ResponseOf<Name>> = CONTRACT[name];
  try {
    const parsed = route.parse(await readRequest(request, params));
    allowTime();
    const work = async () => route.reply.write(await options.handlers[name](parsed, request.signal));
    const answer = await (options.pacer === undefined ? work() : options.pacer.run(work));
    options.requests.add("ok");
    options.log.debug("api request", { request: name, status: answer.status });
    return answer;
  } catch (thrown) {
    options.requests.add(thrown instanceof UserError ? "refused" : "failed");
    const fields = { request: name, reason: errorText(thrown) };
    if (thrown instanceof UserError) options.log.debug("api request refused", fields);
    else options.log.error("api request failed", fields);
    return refusal(route.errors, thrown);
  }
}

async function readRequest(request: Request, params: RawRequest["params"]): Promise<RawRequest> {
  const query = new URLSearchParams(new URL(request.url).search);
  const accept = request.headers.get("accept") ?? "";
  if (request.body === null) return { params, query, body: undefined, accept };
  const text = await request.text();
  const type = (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  if (type === "application/json") return { params, query, body: readJson(text), accept };
  if (type === "application/x-www-form-urlencoded")
    for (const [key, value] of new URLSearchParams(text)) query.append(key, value);
  else if (text !== "") refuse(`cannot read a body of type '${type ?? ""}'`, "send application/json or a form");
  return { params, query, body: undefined, accept };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (thrown) {
    return refuse(`the request body is not JSON: ${errorText(thrown)}`);
  }
}

function refusal(style: "json" | "text", thrown: unknown): Answer {
  const [status, code, hint] = thrown instanceof UserError ? [thrown.status, thrown.code, thrown.hint] : [500, "internal", ""];
  if (thrown instanceof MissingFeature) return { status: 404, type: "text/plain; charset=utf-8", body: "404 page not found\n" };
  const message = errorText(thrown);
  if (style === "json") return { status, type: "application/json", body: `${JSON.stringify({ code, message, hint })}\n` };
  return { status, type: "text/plain; charset=utf-8", body: `${message}${hint === "" ? "" : `; ${hint}`}\n` };
}

function toResponse({ status, type, body }: Answer): Response {
  return type === undefined ? new Response(null, { status }) : new Response(body, { status, headers: { "Content-Type": type } });
}

function pathOf(url: string): string {
  return new URL(url).pathname;
}
