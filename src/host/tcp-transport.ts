// SPDX-License-Identifier: Apache-2.0
// Control connections over TCP: dialling, listening, admission, and the handshake that turns each into an authenticated link.

import type { Socket, TCPSocketListener } from "bun";
import type { DialResult, HelloSource, Link, Transport } from "../mesh/ports.ts";
import { busyReply } from "../mesh/secure/handshake-frame.ts";
import type { KeyPair, Sealing } from "../mesh/secure/sealing.ts";
import { formatIpPort, parseHostPort, parseIpPort } from "../net/endpoint.ts";
import type { Ip } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Counter, Counters } from "../runtime/counters.ts";
import { errorText } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import { TokenBucket } from "../runtime/token-bucket.ts";
import { passwordBytes } from "./passwords.ts";
import { ADMISSION_LIMITS, Admission, type AdmissionLimits, type AdmissionRefusal, type Place } from "./tcp-admission.ts";
import { dialTcp } from "./tcp-dial.ts";
import { HANDSHAKE_MS, type HandshakeResult, runHandshake } from "./tcp-handshake.ts";
import type { TcpLink } from "./tcp-link.ts";
import { listenTcp } from "./tcp-listen.ts";
import { LINGER_MS, type StreamSlot, streamHandler, TcpStream } from "./tcp-stream.ts";

/** Resolving and connecting together, over all addresses of a name. */
export const DIAL_MS = 5_000;
const SET_MEANWHILE = "a password was set during the handshake";
/** Refused connections that are given a moment to read why. */
const LINGERING_MAX = 64;

export interface TcpTransportOptions {
  /** Address to listen on; default: all, IPv4 and IPv6. */
  readonly host?: Ip;
  /** To listen on, and of targets that name none. 0: any free one; for tests. */
  readonly port: number;
  readonly identity: KeyPair;
  /** Any of them is accepted and offered; none: connections without a password. */
  readonly passwords: readonly string[];
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  /** Our hello on inbound connections. */
  readonly hello: HelloSource;
  /** A new inbound link. Call `start` on it, or `refuse`. */
  accepted(link: Link): void;
  /** An inbound connection did not get through the handshake; `gaveUp`: the other end closed it. False: that is nothing new, and need not be logged again. */
  turnedAway?(remoteAddress: string, reason: string, gaveUp: boolean): boolean;
  readonly limits?: AdmissionLimits;
  readonly handshakeMs?: number;
  readonly dialMs?: number;
}

export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #admission: Admission;
  readonly #refused: Counter;
  readonly #logTokens: TokenBucket;
  readonly #streams = new Set<TcpStream>();
  readonly #links = new Set<TcpLink>();
  readonly #dials = new Set<AbortController>();
  #passwords: readonly Uint8Array[];
  #listener: TCPSocketListener<StreamSlot> | undefined;

  /** @throws {UserError} more passwords than allowed, or one of no use */
  constructor(options: TcpTransportOptions) {
    this.#options = options;
    this.#passwords = passwordBytes(options.passwords);
    this.#admission = new Admission(options.clock, options.limits ?? ADMISSION_LIMITS);
    this.#logTokens = new TokenBucket(options.clock, { burst: 10, refillMs: 5_000 });
    this.#refused = options.counters.family(
      "weave_control_connections_refused_total",
      "Inbound control connections that did not become links.",
    );
  }
  /** `ip:port` we listen on; undefined when we do not. */
  get boundAddress(): string | undefined {
    const listener = this.#listener;
    return listener && formatIpPort(this.#options.host ?? ("::" as Ip), listener.port);
  }
  /** Inbound connections that have not finished their handshake. */
  get inHandshake(): number {
    return this.#admission.inHandshake;
  }
  /** Valid for handshakes that begin from now on; links that stand are not touched. @throws {UserError} */
  setPasswords(passwords: readonly string[]): void {
    const old = this.#passwords;
    this.#passwords = passwordBytes(passwords);
    for (const password of old) this.#options.sealing.wipe(password);
  }
  /** @throws {UserError} the port is in use, or the address is not ours */
  listen(): void {
    const { host, port } = this.#options;
    this.#listener = listenTcp(
      host,
      port,
      streamHandler((socket) => this.#opened(socket)),
    );
  }
  dial(target: string, hello: HelloSource, done: (result: DialResult) => void): Disposable {
    const attempt = new AbortController();
    this.#dials.add(attempt);
    void this.#dial(target, hello, attempt.signal).then((result) => {
      this.#dials.delete(attempt);
      if (!attempt.signal.aborted) done(result);
      else if ("link" in result) result.link.close();
    });
    return { [Symbol.dispose]: () => attempt.abort(new Error("cancelled")) };
  }
  /** Closes everything in an orderly way. What is queued goes out, within LINGER_MS. */
  async stop(): Promise<void> {
    this.#listener?.stop();
    this.#listener = undefined;
    this.#admission.close();
    for (const attempt of this.#dials) attempt.abort(new Error("stopping"));
    for (const link of this.#links) link.close();
    for (const stream of this.#streams) stream.finish();
    const end = this.#options.clock.now() + LINGER_MS;
    while (this.#streams.size > 0 && this.#options.clock.now() < end) await pause(this.#options.clock, 5);
    for (const stream of this.#streams) stream.terminate();
    for (const password of this.#passwords) this.#options.sealing.wipe(password);
    this.#passwords = [];
  }

  async #dial(target: string, hello: HelloSource, signal: AbortSignal): Promise<DialResult> {
    const parsed = parseHostPort(target);
    if (!parsed) return { error: `'${target}' is not a host name or address with an optional port` };
    let stream: TcpStream;
    try {
      const { clock, dialMs } = this.#options;
      stream = await dialTcp(parsed.host, parsed.port ?? this.#defaultPort(), clock, dialMs ?? DIAL_MS, signal);
      this.#own(stream);
    } catch (thrown) {
      return { error: errorText(thrown) };
    }
    const remoteAddress = stream.remoteAddress;
    const result = await this.#handshake(stream, hello, signal);
    return "link" in result ? result : { error: result.error, remoteAddress };
  }
  #handshake(stream: TcpStream, hello: HelloSource, signal: AbortSignal): Promise<HandshakeResult> {
    const outcome = Promise.withResolvers<HandshakeResult>();
    const running = this.#runHandshake(stream, hello, true, (result) => outcome.resolve(result));
    const abort = (): void => {
      running[Symbol.dispose]();
      outcome.resolve({ error: "cancelled", isGuess: false, gaveUp: false });
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    return outcome.promise;
  }
  #runHandshake(stream: TcpStream, hello: HelloSource, dials: boolean, done: (result: HandshakeResult) => void): Disposable {
    const { sealing, identity, clock, handshakeMs } = this.#options;
    const options = {
      dials,
      identity,
      passwords: this.#passwords.map((bytes) => bytes.slice()),
      hello: hello(stream.remoteAddress),
    };
    return runHandshake(stream, sealing, options, clock, handshakeMs ?? HANDSHAKE_MS, (result) => {
      for (const password of options.passwords) sealing.wipe(password);
      if ("link" in result) this.#keep(result.link);
      done(this.#overtaken(result));
    });
  }
  /** A handshake that began before there was a password must not bring in what one that begins now could not. */
  #overtaken(result: HandshakeResult): HandshakeResult {
    if (!("link" in result) || result.link.passwordUsed || this.#passwords.length === 0) return result;
    result.link.refuse(SET_MEANWHILE);
    return { error: SET_MEANWHILE, isGuess: false, gaveUp: false };
  }
  #own(stream: TcpStream): void {
    this.#streams.add(stream);
    stream.whenClosed(() => this.#streams.delete(stream));
  }
  #keep(link: TcpLink): void {
    this.#links.add(link);
    link.whenOver(() => this.#links.delete(link));
  }
  #defaultPort(): number {
    return this.#options.port === 0 ? (this.#listener?.port ?? 0) : this.#options.port;
  }

  #opened(socket: Socket<StreamSlot>): void {
    const fd = "fd" in socket && typeof socket.fd === "number" ? socket.fd : -1; // not in Bun's types
    const stream = new TcpStream(socket, this.#options.clock, fd);
    socket.data = { stream };
    this.#own(stream);
    stream.pause();
    const ip = parseIpPort(stream.remoteAddress)?.ip ?? stream.remoteAddress;
    const place = this.#admission.admit(ip, () => this.#begin(stream, place));
    if (typeof place === "string") this.#turnAway(stream, place);
    else stream.listen({ data: () => {}, closed: () => place[Symbol.dispose]() });
  }
  #begin(stream: TcpStream, place: Place | AdmissionRefusal): void {
    if (stream.isClosed || typeof place === "string") return;
    stream.resume();
    this.#runHandshake(stream, this.#options.hello, false, (result) => {
      if ("isGuess" in result && result.isGuess) place.leaveGuessing();
      else place[Symbol.dispose]();
      if ("link" in result) {
        this.#options.accepted(result.link);
        return;
      }
      this.#refused.add("handshake");
      const isNews = this.#options.turnedAway?.(stream.remoteAddress, result.error, "gaveUp" in result && result.gaveUp) ?? true;
      if (isNews) this.#note("handshake failed", stream, result.error);
    });
  }
  #turnAway(stream: TcpStream, reason: string): void {
    this.#refused.add(reason);
    this.#note("connection refused", stream, reason);
    stream.write(busyReply());
    if (this.#streams.size - this.#links.size - this.#admission.inHandshake < LINGERING_MAX) stream.finish();
    else stream.close();
  }
  /** Anybody can make these lines, so they are limited. */
  #note(event: string, stream: TcpStream, reason: string): void {
    if (this.#logTokens.take()) this.#options.log.warn(event, { address: stream.remoteAddress, reason });
  }
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
