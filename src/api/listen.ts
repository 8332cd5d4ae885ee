// SPDX-License-Identifier: Apache-2.0
// Where the API listens: a unix socket of its own group, or a TCP address. A socket file nobody answers on is left over from a crash and
// replaced; one that answers belongs to another daemon.
import { chownSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { formatIpPort } from "../net/endpoint.ts";
import { parseIp } from "../net/ip.ts";
import { fileErrorText, UserError } from "../runtime/errors.ts";
import { type ServerOptions, serveOptions } from "./server.ts";

export type Listen =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Where the daemon always listens and the command line looks. */
export const API_SOCKET = "/run/weave/api.sock";
/** Members may use the API socket without being root. */
export const API_GROUP = "weave";

export function formatListen(listen: Listen): string {
  if (listen.kind === "unix") return listen.path;
  const ip = parseIp(listen.host);
  return ip === undefined ? `${listen.host}:${listen.port}` : formatIpPort(ip, listen.port);
}

export interface Listener extends AsyncDisposable {
  readonly listen: Listen;
}

/** Starts to serve. `flag`: by which an operator chooses the address. @throws {UserError} the address is in use or cannot be used */
export async function startListener(options: ServerOptions & { readonly flag?: string }, listen: Listen): Promise<Listener> {
  const server = listen.kind === "unix" ? await serveUnix(options, listen) : serveTcp(options, listen);
  // Requests under way are cut: a stop must not wait for a client.
  return { listen, [Symbol.asyncDispose]: () => server.stop(true) };
}

function serveTcp(options: ServerOptions & { readonly flag?: string }, listen: Listen & { kind: "tcp" }) {
  try {
    return Bun.serve({ ...serveOptions(options, listen), hostname: listen.host, port: listen.port });
  } catch (thrown) {
    throw cannotListen(listen, thrown, options.flag);
  }
}

async function serveUnix(options: ServerOptions & { readonly flag?: string }, listen: Listen & { kind: "unix" }) {
  mkdirSync(dirname(listen.path), { recursive: true, mode: 0o755 });
  await removeStale(listen);
  const before = process.umask(0o117); // the socket is born 0660; the call that binds it is synchronous
  try {
    const server = Bun.serve({ ...serveOptions(options, listen), unix: listen.path });
    const group = groupId(API_GROUP);
    if (group !== undefined && process.getuid?.() === 0) chownSync(listen.path, 0, group);
    return server;
  } catch (thrown) {
    throw cannotListen(listen, thrown, options.flag);
  } finally {
    process.umask(before);
  }
}

/** Makes room for a socket of ours. @throws {UserError} conflict: something else is there, or a daemon answers */
export async function removeStale(listen: Listen & { kind: "unix" }): Promise<void> {
  const kind = lstatSync(listen.path, { throwIfNoEntry: false });
  if (kind === undefined) return;
  if (!kind.isSocket()) {
    throw new UserError("conflict", `cannot listen on '${listen.path}': it exists and is not a socket`, "move it away");
  }
  if (await answers(listen.path)) {
    throw new UserError(
      "conflict",
      `cannot listen on '${listen.path}': another daemon answers there`,
      "stop it with 'weave stop'",
    );
  }
  unlinkSync(listen.path);
}

/** Whether somebody accepts connections on the socket. */
async function answers(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch (thrown) {
    // EAGAIN: the listener's queue is full, so there is one.
    return thrown instanceof Error && "code" in thrown && thrown.code === "EAGAIN";
  }
}

function cannotListen(listen: Listen, thrown: unknown, flag: string | undefined): UserError {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const cannot = `cannot listen on ${formatListen(listen)}`;
  const choose = flag === undefined ? "" : `choose another address with --${flag}`;
  const options = { cause: thrown };
  if (code === "EADDRINUSE") {
    const look = listen.kind === "tcp" ? `see who holds it: ss -ltnp 'sport = :${listen.port}'` : "stop the other daemon";
    const hint = [look, choose].filter((words) => words !== "").join("; or ");
    return new UserError("conflict", `${cannot}: the address is in use`, hint, options);
  }
  const why = code === "EADDRNOTAVAIL" ? "it is not an address of this host" : fileErrorText(thrown);
  return new UserError("unavailable", `${cannot}: ${why}`, choose, options);
}

/** Id of a group in /etc/group; other name services are not asked, the package makes the group there. */
function groupId(name: string): number | undefined {
  const fields = readGroups()
    .map((line) => line.split(":"))
    .find(([group]) => group === name);
  const id = Number(fields?.[2]);
  return fields !== undefined && Number.isInteger(id) ? id : undefined;
}

function readGroups(): string[] {
  try {
    return readFileSync("/etc/group", "utf8").split("\n");
  } catch {
    return []; // no such file: no such group
  }
}
