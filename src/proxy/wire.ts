// SPDX-License-Identifier: Apache-2.0
// One stream socket, read and written by awaiting. It reads ahead a little, so that the other side's end is seen in time, and no further: who does not
// read makes the other side wait. One reader and one writer at a time.
import type { Socket, SocketHandler } from "bun";
import type { Clock } from "../runtime/clock.ts";

/** Read ahead at most about so much. */
const AHEAD_BYTES = 65_536;
/** After our end of the stream the other side has so long to close. */
const LINGER_MS = 5_000;

/** The other side has gone. */
export class WireClosed extends Error {
  constructor() {
    super("the connection was closed");
    this.name = "WireClosed";
  }
}

export interface WireSlot {
  wire: Wire | undefined;
}

export class Wire {
  readonly #socket: Socket<WireSlot>;
  readonly #clock: Clock;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isPaused = false;
  #hasEnded = false;
  #isClosed = false;
  #isEnding = false;
  #backlog: Uint8Array = new Uint8Array(0);
  #reader: () => void = () => {};
  #writer: () => void = () => {};
  #onEnd: (() => void) | undefined;
  #onClosed: (() => void) | undefined;
  #linger: Disposable | undefined;

  constructor(socket: Socket<WireSlot>, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }
  /** The other side sends no more; what it sent may still have to be read. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }
  get hasUnread(): boolean {
    return this.#queue.length > 0;
  }

  /** The next bytes; undefined: there are no more. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0 && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
    const bytes = this.#queue.shift();
    this.#queuedBytes -= bytes?.length ?? 0;
    if (this.#isPaused && this.#queuedBytes < AHEAD_BYTES && !this.#isClosed) {
      this.#isPaused = false;
      this.#socket.resume();
    }
    return bytes;
  }
  /** Puts bytes back that were read too far. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.unshift(bytes);
    this.#queuedBytes += bytes.length;
  }
  /** Reads come to an end, as if the other side had closed. */
  stopReading(): void {
    this.#hasEnded = true;
    this.#reader();
  }
  /** Called once, when the other side has sent all it will send, however much of it was read by us; undefined: no longer. */
  whenEnded(ended: (() => void) | undefined): void {
    this.#onEnd = ended;
    if (this.#hasEnded) this.#tellEnd();
  }

  /** Called once, when neither side can send any more. */
  whenClosed(closed: () => void): void {
    this.#onClosed = closed;
    if (this.#isClosed) closed();
  }

  /** Waits until the kernel took it. `bytes` must not change afterwards. @throws {WireClosed} */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed || this.#isEnding) throw new WireClosed();
    this.#backlog = bytes;
    this.drained();
    while (this.#backlog.length > 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#writer = resolve;
      });
    }
    if (this.#isClosed && this.#backlog.length > 0) throw new WireClosed();
  }
  /** Nothing more comes from us; what the other side sends is still read. */
  end(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    if (this.#backlog.length === 0) this.#socket.shutdown();
  }
  /** The same, and then it is over: the other side is given a moment to close. What it still sends is thrown away. */
  finish(): void {
    this.end();
    if (this.#isClosed || this.#linger) return;
    this.#linger = this.#clock.after(LINGER_MS, () => this.#close());
    void this.#discard();
  }
  destroy(): void {
    if (!this.#isClosed) this.#socket.terminate();
    this.closed();
  }

  async #discard(): Promise<void> {
    while ((await this.read()) !== undefined);
    if (this.#backlog.length === 0) this.#close();
  }
  /** What the kernel still holds is sent, unlike after `destroy`: who reads slowly gets all of it. */
  #close(): void {
    if (!this.#isClosed) this.#socket.end();
    this.closed();
  }

  /** From Bun: the kernel takes bytes again. */
  drained(): void {
    if (this.#backlog.length > 0 && !this.#isClosed) {
      const taken = this.#socket.write(this.#backlog);
      if (taken < 0) {
        this.destroy();
        return;
      }
      this.#backlog = this.#backlog.subarray(taken);
    }
    if (this.#backlog.length > 0) return;
    if (this.#isEnding) this.#socket.shutdown();
    this.#writer();
  }
  /** From Bun. */
  received(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes >= AHEAD_BYTES && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause();
    }
    this.#reader();
  }
  /** From Bun: the other side sends no more. */
  ended(): void {
    this.#hasEnded = true;
    this.#reader();
    this.#tellEnd();
  }
  /** From Bun: it is over. What was received before can still be read. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#linger?.[Symbol.dispose]();
    this.ended();
    this.#writer();
    this.#onClosed?.();
  }

  #tellEnd(): void {
    const tell = this.#onEnd;
    this.#onEnd = undefined;
    tell?.();
  }
}

/** `opened` gets each new connection. */
export function wireHandler(clock: Clock, opened: (wire: Wire) => void): SocketHandler<WireSlot> {
  return {
    open(socket) {
      socket.data = { wire: new Wire(socket, clock) };
      opened(socket.data.wire as Wire);
    },
    data: (socket, bytes) => socket.data.wire?.received(bytes),
    drain: (socket) => socket.data.wire?.drained(),
    end: (socket) => socket.data.wire?.ended(),
    close: (socket) => socket.data?.wire?.closed(),
    error: (socket) => socket.data?.wire?.destroy(),
  };
}
