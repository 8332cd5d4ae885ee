// SPDX-License-Identifier: Apache-2.0
// The mesh's `Link` over a TCP stream and its session.
import type { Hello, Link, LinkEvents, PathSecret } from "../mesh/ports.ts";
import type { Exporter } from "../mesh/secure/exporter.ts";
import { REKEY_MS, type Session, type SessionEvent } from "../mesh/secure/session.ts";
import { type Clock, every } from "../runtime/clock.ts";
import { errorText, ProtocolError } from "../runtime/errors.ts";
import { type TcpStream, WRITE_QUEUE_BYTES_MAX } from "./tcp-stream.ts";

export interface TcpLinkOptions {
  readonly stream: TcpStream;
  readonly session: Session;
  /** Taken over. */
  readonly exporter: Exporter;
  readonly outbound: boolean;
  readonly passwordUsed: boolean;
  readonly hello: Hello;
  readonly sentHello: Hello;
  /** What arrived together with the end of the handshake. */
  readonly rest: Uint8Array;
  readonly clock: Clock;
}

// held ──start──▶ open ──▶ over     (held ──▶ over: the end is told at start)
type State =
  | { readonly name: "held"; readonly rest: Uint8Array }
  | { readonly name: "open"; readonly events: LinkEvents }
  | { readonly name: "over"; readonly reason: string };

export class TcpLink implements Link {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly outbound: boolean;
  readonly passwordUsed: boolean;
  readonly hello: Hello;
  readonly sentHello: Hello;
  readonly #stream: TcpStream;
  readonly #session: Session;
  readonly #exporter: Exporter;
  readonly #rekeying: Disposable;
  #state: State;
  #over: () => void = () => {};

  constructor(options: TcpLinkOptions) {
    const { stream, session, clock } = options;
    this.#stream = stream;
    this.#session = session;
    this.#exporter = options.exporter;
    this.remoteAddress = stream.remoteAddress;
    this.localAddress = stream.localAddress;
    this.outbound = options.outbound;
    this.passwordUsed = options.passwordUsed;
    this.hello = options.hello;
    this.sentHello = options.sentHello;
    this.#state = { name: "held", rest: options.rest };
    stream.pause();
    stream.listen({
      data: (bytes) => this.#received(bytes),
      closed: (error) => this.#end(error ?? "the connection was cut off"),
    });
    this.#rekeying = every(clock, REKEY_MS, () => this.#write(session.rekey()));
  }
  /** `over` is called once, at the end, before the mesh hears of it: for the transport's own books. */
  whenOver(over: () => void): void {
    this.#over = over;
  }
  start(events: LinkEvents): void {
    const state = this.#state;
    if (state.name === "open") throw new TypeError("a link is started once");
    if (state.name === "over") {
      queueMicrotask(() => events.closed(state.reason));
      return;
    }
    this.#state = { name: "open", events };
    queueMicrotask(() => {
      this.#received(state.rest);
      this.#stream.resume();
    });
  }
  send(message: Uint8Array): void {
    if (this.#state.name === "over") return;
    try {
      this.#write(this.#session.message(message));
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown;
      this.#fail(thrown.message);
    }
  }
  takeSecret(use: PathSecret): Uint8Array | undefined {
    return this.#exporter.take(use);
  }
  queuedBytes(): number {
    return this.#stream.queuedBytes;
  }
  refuse(reason: string): void {
    if (this.#state.name === "over") return;
    this.#write(this.#session.refuse(reason));
    this.#stream.finish();
    this.#end(reason);
  }
  close(): void {
    if (this.#state.name === "over") return;
    this.#write(this.#session.close());
    this.#stream.finish();
    this.#end("closed by us");
  }

  #write(frame: Uint8Array | undefined): void {
    if (frame && !this.#stream.write(frame)) {
      this.#fail(`the peer does not read: ${WRITE_QUEUE_BYTES_MAX / 2 ** 20} MiB are waiting for it`);
    }
  }
  #received(bytes: Uint8Array): void {
    try {
      this.#session.push(bytes);
      while (this.#state.name === "open") {
        const event = this.#session.next();
        if (!event) return;
        this.#handle(event, this.#state.events);
      }
    } catch (thrown) {
      if (!(thrown instanceof ProtocolError)) throw thrown;
      this.#fail(errorText(thrown));
    }
  }
  #handle(event: SessionEvent, events: LinkEvents): void {
    if (event.type === "message") {
      events.message(event.bytes);
      return;
    }
    this.#end(event.type === "refused" ? event.reason : "the peer closed the connection");
    this.#stream.close();
  }
  /** Ends at once; what is queued is of no use. */
  #fail(reason: string): void {
    this.#end(reason);
    this.#stream.terminate();
  }
  #end(reason: string): void {
    const state = this.#state;
    if (state.name === "over") return;
    this.#state = { name: "over", reason };
    this.#rekeying[Symbol.dispose]();
    this.#session.wipe();
    this.#exporter.wipe();
    this.#over();
    if (state.name === "open") queueMicrotask(() => state.events.closed(reason));
  }
}
