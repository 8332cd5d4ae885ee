// SPDX-License-Identifier: Apache-2.0
// The name server's sockets: UDP and TCP on one address. Serves only clients of the networks it is for; everything a client can use up is bounded.
import { HEADER_BYTES, type Question, RCODE, writeRefusal } from "../dns/message.ts";
import { limitOf, type Transport, type Zone } from "../dns/zone.ts";
import { formatIpPort } from "../net/endpoint.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { framed, MessageReader } from "./dns-stream.ts";

const TCP_CLIENTS_MAX = 256;
const TCP_CLIENTS_PER_ADDRESS = 32;
const TCP_IDLE_MS = 10_000;
/** Bytes of one request over TCP; a question with every EDNS option in use has some hundred. */
const TCP_REQUEST_MAX = 4096;
/** Questions of one connection that wait for other servers. */
const TCP_PENDING_MAX = 32;
/** Answers that a client does not fetch. */
const TCP_BACKLOG_MAX = 256 * 1024;
const SOURCES_MAX = 4096;

export interface DnsServerPorts {
  readonly zone: Zone;
  forward(request: Uint8Array, question: Question, transport: Transport): Promise<Uint8Array | undefined>;
  /** Whether a client at this address is served. */
  serves(source: Ip): boolean;
  readonly clock: Clock;
  readonly queries: Counter;
  readonly dropped: Counter;
}
export interface DnsListen {
  readonly host: Ip;
  readonly port: number;
}

interface Client {
  readonly source: string;
  readonly reader: MessageReader;
  pending: number;
  backlog: Uint8Array[];
  idle: Disposable;
}
type ClientSocket = Bun.Socket<Client>;

export class DnsServer implements Disposable {
  readonly listen: DnsListen;
  readonly #ports: DnsServerPorts;
  readonly #clients = new Map<string, number>();
  /** Whether sources are served, so that an address is read once and not for each query. */
  readonly #sources = new Map<string, boolean>();
  #clientCount = 0;
  /** Answer, port and address of each datagram that waits to be sent; a turn of the loop reads a bounded number. */
  #outgoing: (Uint8Array | number | string)[] = [];
  #udp: Bun.udp.Socket<"buffer"> | undefined;
  #tcp: Bun.TCPSocketListener<Client> | undefined;

  private constructor(listen: DnsListen, ports: DnsServerPorts) {
    this.listen = listen;
    this.#ports = ports;
  }

  /** @throws {UserError} the address cannot be listened on; then nothing is left open */
  static async open(listen: DnsListen, ports: DnsServerPorts): Promise<DnsServer> {
    const server = new DnsServer(listen, ports);
    try {
      await server.#open();
      return server;
    } catch (thrown) {
      server[Symbol.dispose]();
      throw cannotListen(listen, thrown);
    }
  }

  async #open(): Promise<void> {
    const { host: hostname, port } = this.listen;
    this.#udp = await Bun.udpSocket({
      hostname,
      port,
      socket: { data: (_socket, data, from, address) => this.#datagram(data, from, address) },
    });
    this.#tcp = Bun.listen<Client>({
      hostname,
      port,
      socket: {
        open: (socket) => this.#opened(socket),
        data: (socket, data) => this.#received(socket, data),
        drain: (socket) => void this.#flush(socket, []),
        close: (socket) => this.#closed(socket),
        error: (socket) => void socket.terminate(),
      },
    });
  }

  /** The networks that are served have changed. */
  networksChanged(): void {
    this.#sources.clear();
  }

  [Symbol.dispose](): void {
    this.#udp?.close();
    this.#tcp?.stop(true);
  }

  #serves(address: string): boolean {
    let isServed = this.#sources.get(address);
    if (isServed === undefined) {
      const source = parseIp(address.replace(/%.*$/, ""));
      isServed = source !== undefined && this.#ports.serves(source);
      if (this.#sources.size >= SOURCES_MAX) this.#sources.clear();
      this.#sources.set(address, isServed);
    }
    return isServed;
  }

  #datagram(data: Uint8Array, port: number, address: string): void {
    if (port === 0 || !this.#serves(address)) {
      this.#ports.dropped.add("stranger");
      return;
    }
    const verdict = this.#ports.zone.answer(data, "udp");
    if (verdict.kind === "ignore") this.#ports.dropped.add("no-request");
    else if (verdict.kind === "reply") {
      this.#ports.queries.add(verdict.outcome);
      this.#send(verdict.bytes, port, address);
    } else {
      const request = Uint8Array.from(data);
      void this.#forward(request, verdict.question, "udp").then((reply) => this.#send(reply, port, address));
    }
  }

  /** Answers of one turn of the loop leave in one call, which costs a sixth less than one by one. */
  #send(reply: Uint8Array, port: number, address: string): void {
    if (this.#outgoing.length === 0) setImmediate(() => this.#flushUdp());
    this.#outgoing.push(reply, port, address);
  }

  #flushUdp(): void {
    const packets = this.#outgoing;
    this.#outgoing = [];
    if (!this.#udp || this.#udp.closed) return;
    const count = packets.length / 3;
    try {
      const sent = this.#udp.sendMany(packets);
      if (sent < count) this.#ports.dropped.add("not-sent", count - sent);
    } catch {
      this.#ports.dropped.add("not-sent", count); // no way back to one of the clients
    }
  }

  async #forward(request: Uint8Array, question: Question, transport: Transport): Promise<Uint8Array> {
    const reply = await this.#ports.forward(request, question, transport);
    this.#ports.queries.add(reply ? "forwarded" : "failed");
    if (!reply) return writeRefusal(request, { rcode: RCODE.failure, end: question.end });
    return reply.length <= limitOf(question, transport) ? reply : cut(reply, question);
  }

  #opened(socket: ClientSocket): void {
    const source = socket.remoteAddress;
    const ofSource = this.#clients.get(source) ?? 0;
    const refusal = !this.#serves(source)
      ? "stranger"
      : this.#clientCount >= TCP_CLIENTS_MAX || ofSource >= TCP_CLIENTS_PER_ADDRESS
        ? "too-many-clients"
        : undefined;
    if (refusal) {
      this.#ports.dropped.add(refusal);
      socket.terminate();
      return;
    }
    this.#clientCount++;
    this.#clients.set(source, ofSource + 1);
    socket.data = { source, reader: new MessageReader(TCP_REQUEST_MAX), pending: 0, backlog: [], idle: this.#idleTimer(socket) };
  }

  #idleTimer(socket: ClientSocket): Disposable {
    return this.#ports.clock.after(TCP_IDLE_MS, () => {
      this.#ports.dropped.add("idle");
      socket.terminate();
    });
  }

  #closed({ data: client }: { readonly data: Client | undefined }): void {
    if (!client) return; // it was refused
    client.idle[Symbol.dispose]();
    this.#clientCount--;
    const left = (this.#clients.get(client.source) ?? 1) - 1;
    if (left > 0) this.#clients.set(client.source, left);
    else this.#clients.delete(client.source);
  }

  #received(socket: ClientSocket, data: Uint8Array): void {
    const client: Client | undefined = socket.data;
    if (!client) return;
    const messages = client.reader.push(data);
    if (!messages) {
      this.#ports.dropped.add("too-long");
      socket.terminate();
      return;
    }
    for (const message of messages) if (!this.#answerByTcp(socket, client, message)) return;
  }

  /** False: the connection is over. */
  #answerByTcp(socket: ClientSocket, client: Client, message: Uint8Array): boolean {
    const verdict = this.#ports.zone.answer(message, "tcp");
    if (verdict.kind === "ignore" || client.pending >= TCP_PENDING_MAX) {
      this.#ports.dropped.add(verdict.kind === "ignore" ? "no-request" : "too-many-questions");
      socket.terminate();
      return false;
    }
    // A whole request is a sign of life; single bytes are not.
    client.idle[Symbol.dispose]();
    client.idle = this.#idleTimer(socket);
    if (verdict.kind === "reply") {
      this.#ports.queries.add(verdict.outcome);
      return this.#flush(socket, [framed(verdict.bytes)]);
    }
    client.pending++;
    void this.#forward(message.slice(), verdict.question, "tcp").then((reply) => {
      client.pending--;
      this.#flush(socket, [framed(reply)]);
    });
    return true;
  }

  /** False: the connection is over. */
  #flush(socket: ClientSocket, more: readonly Uint8Array[]): boolean {
    const client: Client | undefined = socket.data;
    if (!client || socket.readyState <= 0) return false;
    client.backlog.push(...more);
    while (client.backlog.length > 0) {
      const first = client.backlog[0]!;
      const written = Math.max(0, socket.write(first));
      if (written < first.length) {
        client.backlog[0] = first.subarray(written);
        break;
      }
      client.backlog.shift();
    }
    if (client.backlog.reduce((sum, bytes) => sum + bytes.length, 0) <= TCP_BACKLOG_MAX) return true;
    this.#ports.dropped.add("slow-client");
    socket.terminate();
    return false;
  }
}

/** Only the question, marked as cut: the client asks again over TCP. */
function cut(reply: Uint8Array, question: Question): Uint8Array {
  const short = reply.slice(0, question.end);
  short[2] = (short[2] ?? 0) | 0x02;
  short.fill(0, 6, HEADER_BYTES);
  return short;
}

function cannotListen({ host, port }: DnsListen, thrown: unknown): UserError {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const where = formatIpPort(host, port);
  const why =
    code === "EADDRINUSE"
      ? "another name server has it"
      : code === "EADDRNOTAVAIL"
        ? "it is not an address of this host"
        : errorText(thrown);
  const look = code === "EADDRINUSE" ? `see who holds it: ss -lnptu 'sport = :${port}'; or ` : "";
  const hint = `${look}choose another with --dns-listen-address, or none with --no-dns`;
  return new UserError("unavailable", `cannot answer DNS on ${where}: ${why}`, hint, { cause: thrown });
}
