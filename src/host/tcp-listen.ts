// SPDX-License-Identifier: Apache-2.0
// Listening on a TCP port, and what to tell the operator when it cannot be had.
import type { SocketHandler, TCPSocketListener } from "bun";
import { formatIpPort } from "../net/endpoint.ts";
import type { Ip } from "../net/ip.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import type { StreamSlot } from "./tcp-stream.ts";

/** On one address, or on all of IPv4 and IPv6. @throws {UserError} the port is in use, or the address is not this host's */
export function listenTcp(host: Ip | undefined, port: number, handler: SocketHandler<StreamSlot>): TCPSocketListener<StreamSlot> {
  const listenOn = (hostname: string) => Bun.listen<StreamSlot>({ hostname, port, data: { stream: undefined }, socket: handler });
  try {
    return host === undefined ? listenEverywhere(listenOn) : listenOn(host);
  } catch (thrown) {
    throw listenError(thrown, port, host);
  }
}

/** Fails as `listenTcp` would, and leaves the port as it was: for telling before anything else is done. @throws {UserError} */
export function checkListen(host: Ip | undefined, port: number): void {
  listenTcp(host, port, { open: (socket) => void socket.terminate(), data: () => {} }).stop(true);
}

function listenEverywhere<Listener>(listenOn: (hostname: string) => Listener): Listener {
  try {
    return listenOn("::"); // takes IPv4 too
  } catch (thrown) {
    if (errnoOf(thrown) === "EADDRINUSE") throw thrown;
    return listenOn("0.0.0.0"); // a kernel without IPv6
  }
}

function errnoOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
}

function listenError(thrown: unknown, port: number, host: Ip | undefined): UserError {
  const code = errnoOf(thrown);
  if (code === "EADDRINUSE") {
    const hint = `find the program with "ss -ltnp 'sport = :${port}'" and stop it, or choose another port with --port`;
    return new UserError("conflict", `cannot listen on TCP port ${port}: another program uses it`, hint, { cause: thrown });
  }
  if (code === "EADDRNOTAVAIL" && host !== undefined) {
    const hint = "give one of this host's addresses with --host, or leave it out to listen on all";
    return new UserError("bad-request", `cannot listen on ${host}: it is not an address of this host`, hint, { cause: thrown });
  }
  const where = host === undefined ? `TCP port ${port}` : formatIpPort(host, port);
  return new UserError("unavailable", `cannot listen on ${where}: ${code || errorText(thrown)}`, "", { cause: thrown });
}
