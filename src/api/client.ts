// SPDX-License-Identifier: Apache-2.0
// The typed client of the contract, over the daemon's unix socket or TCP address. Refusals come back as the UserError the daemon threw.
import { type ErrorCode, errorText, UserError } from "../runtime/errors.ts";
import { CONTRACT, MissingFeature, type OperationName, type RequestOf, type ResponseOf } from "./contract.ts";
import { formatListen, type Listen } from "./listen.ts";
import type { RawRequest, Route } from "./route.ts";
import { fillPath } from "./router.ts";

/** How long an answer may take: these may wait for Docker, for the firewall, or for peers, or measure for a while. */
const SLOW: ReadonlySet<OperationName> = new Set([
  "attach",
  "detach",
  "expose",
  "hide",
  "exposeOne",
  "hideOne",
  "ps",
  "ping",
  "leave",
  "removePeer",
  "prime",
  "ipAllocate",
  "ipAllocateIn",
  "ipClaim",
]);
/** Longer than the daemon lets anybody wait for an address. */
const SLOW_LIMIT_MS = 115_000;
/** All others look at what is in memory; `connect` asks for names, which has a limit of its own. */
const QUICK_LIMIT_MS = 10_000;

/** Nobody answers where the daemon should listen. */
export class Unreachable extends Error {
  /** `absent`: nothing listens. `denied`: we may not connect. `silent`: it accepts and does not answer. */
  readonly why: "absent" | "denied" | "silent";
  readonly where: string;
  constructor(why: Unreachable["why"], where: string, cause: unknown) {
    super(`nothing answers on ${where}`, { cause });
    this.name = "Unreachable";
    this.why = why;
    this.where = where;
  }
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly limitMs?: number;
}

export class ApiClient {
  readonly listen: Listen;
  constructor(listen: Listen) {
    this.listen = listen;
  }

  /** @throws {Unreachable} no daemon @throws {UserError} it refused */
  async call<Name extends OperationName>(
    name: Name,
    request: RequestOf<Name>,
    options: CallOptions = {},
  ): Promise<ResponseOf<Name>> {
    const route: Route<RequestOf<Name>, ResponseOf<Name>> = CONTRACT[name];
    const raw = route.encode(request);
    const limitMs = SLOW.has(name) ? SLOW_LIMIT_MS : QUICK_LIMIT_MS;
    const { status, body } = await this.#exchange(route.method, targetOf(route.path, raw), raw, { limitMs, ...options });
    const expected = (status >= 200 && status < 300) || route.reply.accepts?.includes(status) === true;
    if (expected) return route.reply.read({ status, body });
    throw refusalOf(route.path, route.errors, status, body);
  }

  async #exchange(
    method: string,
    target: string,
    raw: Partial<RawRequest>,
    { signal, limitMs }: CallOptions & { limitMs: number },
  ) {
    const limit = AbortSignal.timeout(limitMs);
    const { listen } = this;
    const headers: Record<string, string> = raw.accept === undefined ? {} : { Accept: raw.accept };
    if (raw.body !== undefined) headers["Content-Type"] = "application/json";
    const base = listen.kind === "unix" ? "http://localhost" : `http://${formatListen(listen)}`;
    try {
      const response = await fetch(base + target, {
        method,
        headers,
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
        ...(raw.body === undefined ? {} : { body: JSON.stringify(raw.body) }),
        ...(listen.kind === "unix" ? { unix: listen.path } : {}),
      });
      return { status: response.status, body: await response.text() };
    } catch (thrown) {
      if (signal?.aborted) throw thrown;
      throw new Unreachable(limit.aborted ? "silent" : whyUnreachable(thrown), formatListen(listen), thrown);
    }
  }
}

function targetOf(path: string, raw: Partial<RawRequest>): string {
  const query = raw.query?.toString() ?? "";
  return fillPath(path, raw.params ?? {}) + (query === "" ? "" : `?${query}`);
}

function whyUnreachable(thrown: unknown): "absent" | "denied" {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return /EACCES|EPERM/.test(`${code} ${errorText(thrown)}`) ? "denied" : "absent";
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  400: "bad-request",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  413: "bad-request",
  503: "unavailable",
};

function refusalOf(path: string, style: "json" | "text", status: number, body: string): UserError {
  if (status === 404 && body.startsWith("404 page not found")) return new MissingFeature(path);
  const fallback = new UserError(CODES[status] ?? "internal", body.trim() || `the daemon answered with status ${status}`);
  if (style === "text") return fallback;
  try {
    const { code, message, hint } = JSON.parse(body) as { code?: unknown; message?: unknown; hint?: unknown };
    if (typeof message !== "string") return fallback;
    return new UserError(isCode(code) ? code : fallback.code, message, typeof hint === "string" ? hint : "");
  } catch {
    return fallback; // not the daemon's own words: shown as they are
  }
}

function isCode(value: unknown): value is ErrorCode {
  return Object.values(CODES).some((code) => code === value) || value === "internal";
}
