// SPDX-License-Identifier: Apache-2.0
// One TCP connection as a stream with a bounded write queue and an end that loses nothing that was queued before it.
import type { Socket, SocketHandler } from "bun";
import { SystemError } from "../../native/errno.ts";
import { setIntOption } from "../../native/libc/socket.ts";
import { formatIpPort } from "../net/endpoint.ts";
import { parseIp } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";

/** Bytes one connection may have waiting before it is given up. */
export const WRITE_QUEUE_BYTES_MAX = 4 * 2 ** 20;
/** How long `finish` waits for the other end to take the rest and close. */
export const LINGER_MS = 1_000;
const KEEPALIVE_MS = 15_000;
/** Sent data may stay unacknowledged so long. The mesh notices sooner; this is for connections nobody watches. */
const USER_TIMEOUT_MS = 20_000;
/** TCP doubles its patience with each silence, so after an outage of seconds it would try again only seconds later, with news as old. */
const RETRANSMIT_MS_MAX = 1_000;
const IPPROTO_TCP = 6; // netinet/in.h
// linux/tcp.h
const TCP_THIN_LINEAR_TIMEOUTS = 16; // the first six retransmissions of a stream with little in flight without doubling
const TCP_USER_TIMEOUT = 18;
const TCP_RTO_MAX_MS = 44; // Linux 6.15

export interface StreamEvents {
  /** Belongs to the receiver until it returns. */
  data(bytes: Uint8Array): void;
  /** Once; nothing follows. `error` says what broke it, undefined: the other end closed. */
  closed(error: string | undefined): void;
}

/** What Bun's socket carries; filled once the connection stands. */
export interface StreamSlot {
  stream: TcpStream | undefined;
}

export class TcpStream {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly #socket: Socket<StreamSlot>;
  readonly #clock: Clock;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #events: StreamEvents | undefined;
  #finishing: Disposable | undefined;
  #isClosed = false;
  #whenClosed: () => void = () => {};

  /** `fd` is the socket's, for options Bun does not set. */
  constructor(socket: Socket<StreamSlot>, clock: Clock, fd: number) {
    this.#socket = socket;
    this.#clock = clock;
    this.remoteAddress = ipPort(socket.remoteAddress, socket.remotePort);
    this.localAddress = ipPort(socket.localAddress, socket.localPort);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    setOption(fd, TCP_USER_TIMEOUT, USER_TIMEOUT_MS, "TCP_USER_TIMEOUT");
    setOption(fd, TCP_THIN_LINEAR_TIMEOUTS, 1, "TCP_THIN_LINEAR_TIMEOUTS");
    setOption(fd, TCP_RTO_MAX_MS, RETRANSMIT_MS_MAX, "TCP_RTO_MAX_MS");
  }
  get queuedBytes(): number {
    return this.#queuedBytes;
  }
  get isClosed(): boolean {
    return this.#isClosed;
  }
  /** `gone` is called once, before any other event of the end: for the transport's own books. */
  whenClosed(gone: () => void): void {
    this.#whenClosed = gone;
  }
  /** Replaces whoever listened before. */
  listen(events: StreamEvents): void {
    this.#events = events;
  }
  /** False: too much is waiting already; nothing was taken. `bytes` must not change afterwards. */
  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#finishing || bytes.length === 0) return true;
    if (this.#queuedBytes + bytes.length > WRITE_QUEUE_BYTES_MAX) return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queue.length === 1) this.#flush();
    return true;
  }
  /** Stops reading; the kernel's window fills up and the other end has to wait. */
  pause(): void {
    if (!this.#isClosed) this.#socket.pause();
  }
  resume(): void {
    if (!this.#isClosed) this.#socket.resume();
  }
  /** Sends what is queued, closes our direction, and waits for the other end to close, at most LINGER_MS. Closing at once would make the
   *  kernel answer unread data with a reset, which can overtake our last words. No event follows but `closed`. */
  finish(): void {
    if (this.#isClosed || this.#finishing) return;
    this.#finishing = this.#clock.after(LINGER_MS, () => this.terminate());
    this.resume();
    if (this.#queue.length === 0) this.#socket.shutdown();
  }
  terminate(): void {
    if (!this.#isClosed) this.#socket.terminate();
    this.closed(undefined);
  }

  /** From Bun: the kernel takes bytes again. */
  drained(): void {
    this.#flush();
  }
  /** From Bun. */
  received(bytes: Uint8Array): void {
    if (!this.#finishing) this.#events?.data(bytes);
  }
  /** From Bun: it is over. */
  closed(error: string | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#finishing?.[Symbol.dispose]();
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#whenClosed();
    this.#events?.closed(error);
  }
  /** Closes at once. What the kernel holds it still sends, unless there is unread data: then a reset may overtake it. */
  close(): void {
    if (!this.#isClosed) this.#socket.end();
    this.closed(undefined);
  }

  #flush(): void {
    for (;;) {
      const first = this.#queue[0];
      if (!first) break;
      const taken = Math.max(0, this.#socket.write(first));
      this.#queuedBytes -= taken;
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
    if (this.#finishing) this.#socket.shutdown();
  }
}

function setOption(fd: number, option: number, value: number, name: string): void {
  try {
    setIntOption(fd, IPPROTO_TCP, option, value, name);
  } catch (thrown) {
    // An older kernel, or the other end has reset the connection already and Bun tells that next. None of them is needed.
    if (!(thrown instanceof SystemError)) throw thrown;
  }
}

/** Shared by all sockets. `opened` gets each new inbound one. */
export function streamHandler(opened: (socket: Socket<StreamSlot>) => void): SocketHandler<StreamSlot> {
  return {
    open: guarded(opened),
    data: guarded((socket, bytes: Uint8Array) => socket.data?.stream?.received(bytes)),
    drain: guarded((socket) => socket.data?.stream?.drained()),
    // Nobody half-closes in our protocol: who sends nothing more is gone.
    end: guarded((socket) => socket.data?.stream?.close()),
    close: guarded((socket, error?: Error) => socket.data?.stream?.closed(error && errorWords(error))),
    error: guarded((socket, error: Error) => socket.data?.stream?.closed(errorWords(error))),
  };
}

/** Bun takes what a handler throws for an error of its socket. Ours are bugs and must reach the outermost handler. */
export function guarded<Rest extends unknown[]>(
  handle: (socket: Socket<StreamSlot>, ...rest: Rest) => void,
): (socket: Socket<StreamSlot>, ...rest: Rest) => void {
  return (socket, ...rest) => {
    try {
      handle(socket, ...rest);
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown;
      });
      socket.terminate();
    }
  };
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ENETDOWN: "network is down",
  EHOSTDOWN: "host is down",
  ETIMEDOUT: "connection timed out",
  EADDRNOTAVAIL: "cannot assign requested address",
  EAFNOSUPPORT: "address family not supported",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EPIPE: "connection reset by peer",
};

/** `connection refused` for ECONNREFUSED. */
export function errnoWords(code: string): string {
  return WORDS[code] ?? code;
}

function errorWords(error: Error): string {
  return "code" in error ? errnoWords(String(error.code)) : error.message;
}

/** Bun has no address for a connection that was reset before we looked. */
function ipPort(address: string | undefined, port: number): string {
  if (address === undefined) return "unknown";
  const ip = parseIp(address.replace(/%.*$/, ""));
  return ip === undefined ? `${address}:${port}` : formatIpPort(ip, port);
}
