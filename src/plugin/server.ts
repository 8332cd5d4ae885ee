// SPDX-License-Identifier: Apache-2.0
// A plugin socket: HTTP POST of JSON to `/Driver.Method`, as Docker speaks to its plugins. While it waits for an answer Docker holds locks and a booting
// Docker starts nothing, so every answer comes within a second, if need be as a refusal with the reason. What cannot be read is refused, too.

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../runtime/clock.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { removeStaleSocket } from "../runtime/unix-socket.ts";
import { BODY_LIMIT_BYTES, failure, methodOf, reply } from "./http.ts";
import type { Methods } from "./methods.ts";
import { fieldsOf } from "./wire.ts";

const ANSWER_LIMIT_MS = 900;

export interface PluginServerOptions {
  readonly path: string;
  /** Kinds of driver: NetworkDriver, IpamDriver. */
  readonly kinds: readonly string[];
  readonly methods: Methods;
  readonly clock: Clock;
  readonly log: Log;
}

/** Listens until it is disposed. A socket that nobody answers on is replaced. @throws {UserError} another daemon answers there */
export async function servePlugin(options: PluginServerOptions): Promise<AsyncDisposable> {
  mkdirSync(dirname(options.path), { recursive: true, mode: 0o755 });
  await removeStaleSocket(options.path);
  const before = process.umask(0o177); // whoever may ask the plugin may make links
  try {
    const server = Bun.serve({
      unix: options.path,
      maxRequestBodySize: BODY_LIMIT_BYTES,
      fetch: (request) => answer(options, request),
      error: (error) => failure(500, error.message),
    });
    return { [Symbol.asyncDispose]: () => server.stop(true) };
  } finally {
    process.umask(before);
  }
}

async function answer(options: PluginServerOptions, request: Request): Promise<Response> {
  const name = methodOf(request.url);
  if (request.method !== "POST") return failure(405, "a plugin is asked by POST");
  if (name === "Plugin.Activate") return reply({ Implements: options.kinds });
  const method = Object.hasOwn(options.methods, name) ? options.methods[name] : undefined;
  if (!method) return failure(404, `there is no method '${name.slice(0, 100)}'`);
  let body: unknown;
  try {
    const text = await request.text();
    body = text.trim() === "" ? {} : JSON.parse(text);
  } catch (thrown) {
    return failure(400, `the request cannot be read: ${errorText(thrown)}`);
  }
  const late = new AbortController();
  const timer = options.clock.after(ANSWER_LIMIT_MS, () => late.abort());
  try {
    return reply(await method(fieldsOf(body), late.signal));
  } catch (thrown) {
    options.log.warn("docker was refused", { request: name, reason: errorText(thrown) });
    if (!(thrown instanceof UserError)) return failure(500, errorText(thrown));
    return failure(
      thrown.code === "bad-request" ? 400 : 500,
      thrown.hint === "" ? thrown.message : `${thrown.message}; ${thrown.hint}`,
    );
  } finally {
    timer[Symbol.dispose]();
  }
}
