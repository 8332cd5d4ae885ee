// SPDX-License-Identifier: Apache-2.0
// Where clients reach the proxy: sockets with the rights of Docker's own, and TCP addresses, with TLS if asked for.
import { mkdirSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { formatIpPort } from "../net/endpoint.ts";
import { parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, fileErrorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { removeStaleSocket } from "../runtime/unix-socket.ts";
import { Connection, type ConnectionPorts } from "./connection.ts";
import { encodeRefusal, Refusal } from "./message.ts";
import { type Wire, type WireSlot, wireHandler } from "./wire.ts";

export const PROXY_SOCKET = "/run/weave/weave.sock";
/** Connections at one time. */
const CONNECTIONS_MAX = 4096;

export type ProxyEndpoint =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Certificates in PEM. */
export interface ProxyTls {
  readonly cert: string;
  readonly key: string;
  /** Clients must show a certificate of this authority; undefined: anybody may connect. */
  readonly clientCa: string | undefined;
}

/** In the order they are shown: TCP, further sockets, ours. None given: ours. With a socket among them ours is there too. */
export function endpointsOf(given: readonly ProxyEndpoint[]): readonly ProxyEndpoint[] {
  const tcp = given.filter(({ kind }) => kind === "tcp");
  const sockets = given.flatMap((one) =>
    one.kind === "unix" && one.path !== PROXY_SOCKET && one.path !== `/var${PROXY_SOCKET}` ? [one] : [],
  );
  const own: readonly ProxyEndpoint[] =
    given.length === tcp.length && tcp.length > 0 ? [] : [{ kind: "unix", path: PROXY_SOCKET }];
  return [...tcp, ...sockets, ...own];
}

/** As clients write it: `unix:///run/weave/weave.sock`, `tcp://127.0.0.1:12375`. */
export function formatEndpoint(endpoint: ProxyEndpoint): string {
  if (endpoint.kind === "unix") return `unix://${endpoint.path}`;
  const ip = parseIp(endpoint.host);
  return `tcp://${ip === undefined ? `${endpoint.host}:${endpoint.port}` : formatIpPort(ip, endpoint.port)}`;
}

export interface ListenerPorts extends ConnectionPorts {
  readonly clock: Clock;
  readonly log: Log;
}

export class ProxyListeners implements Disposable {
  readonly #ports: ListenerPorts;
  readonly #stops: (() => void)[] = [];
  readonly #paths: string[] = [];
  readonly #connections = new Set<Connection>();
  readonly #connectionsMax: number;

  private constructor(ports: ListenerPorts, connectionsMax: number) {
    this.#ports = ports;
    this.#connectionsMax = connectionsMax;
  }

  /** @throws {UserError} an address cannot be listened on; then on none */
  static async open(
    endpoints: readonly ProxyEndpoint[],
    tls: ProxyTls | undefined,
    ports: ListenerPorts,
    connectionsMax = CONNECTIONS_MAX,
  ): Promise<ProxyListeners> {
    const listeners = new ProxyListeners(ports, connectionsMax);
    try {
      for (const endpoint of endpoints) {
        if (endpoint.kind === "unix") await listeners.#unix(endpoint.path);
        else listeners.#tcp(endpoint, tls);
      }
      return listeners;
    } catch (thrown) {
      listeners[Symbol.dispose]();
      throw thrown;
    }
  }
  /** Connections are cut: a stop must not wait for clients. */
  [Symbol.dispose](): void {
    for (const stop of this.#stops.splice(0)) stop();
    for (const connection of this.#connections) connection.stop();
  }

  /** Sockets that were made: whoever may use Docker's may use these. */
  get paths(): readonly string[] {
    return this.#paths;
  }

  async #unix(path: string): Promise<void> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await removeStaleSocket(path);
    const before = process.umask(0o177); // nobody else connects before it has its rights; the call that binds it is synchronous
    try {
      const server = Bun.listen<WireSlot>({ unix: path, allowHalfOpen: true, socket: this.#handler() });
      this.#paths.push(path);
      this.#stops.push(() => {
        server.stop(true);
        removeSocket(path);
      });
    } catch (thrown) {
      throw new UserError("unavailable", `cannot listen on '${path}': ${fileErrorText(thrown)}`, "choose another path with -H", {
        cause: thrown,
      });
    } finally {
      process.umask(before);
    }
  }

  #tcp(endpoint: ProxyEndpoint & { kind: "tcp" }, tls: ProxyTls | undefined): void {
    const { host: hostname, port } = endpoint;
    try {
      const common = { hostname, port, allowHalfOpen: true, socket: this.#handler() };
      const server = Bun.listen<WireSlot>(tls ? { ...common, tls: tlsOptions(tls) } : common);
      this.#stops.push(() => server.stop(true));
    } catch (thrown) {
      throw new UserError(
        "unavailable",
        `cannot listen on ${formatEndpoint(endpoint)} for Docker's clients: ${errorText(thrown)}`,
        "choose another address with -H, or see that the certificates fit together",
        { cause: thrown },
      );
    }
  }

  #handler() {
    return wireHandler(this.#ports.clock, (wire) => void this.#serve(wire));
  }

  async #serve(wire: Wire): Promise<void> {
    if (this.#connections.size >= this.#connectionsMax && !this.#dropIdle()) {
      const refusal = new Refusal(503, `weave proxy: more than ${this.#connectionsMax} connections at one time`);
      await wire.write(encodeRefusal(refusal, true)).catch(() => undefined); // it may have gone already
      wire.destroy();
      return;
    }
    const connection = new Connection(wire, this.#ports);
    this.#connections.add(connection);
    await connection.serve();
    this.#connections.delete(connection);
  }

  /** Ends the connection that has waited longest for a request, so that those who only hold connections keep nobody out. False: there is none. */
  #dropIdle(): boolean {
    const idle = [...this.#connections].filter(({ waitsSince }) => waitsSince !== undefined);
    if (idle.length === 0) return false;
    const longest = idle.reduce((one, other) => ((other.waitsSince ?? 0) < (one.waitsSince ?? 0) ? other : one));
    this.#connections.delete(longest);
    longest.stop();
    return true;
  }
}

function tlsOptions({ cert, key, clientCa }: ProxyTls): Bun.TLSOptions {
  if (clientCa === undefined) return { cert, key };
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // gone already, which is what was wanted
  }
}
