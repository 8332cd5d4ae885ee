// SPDX-License-Identifier: Apache-2.0
// Two sleeves without switch and Worker: real datagrams on loopback, and between them somebody who sees every datagram and decides what becomes
// of it. Time is set by hand.
import { Arena, allocate } from "../../native/ffi.ts";
import { close } from "../../native/libc/fd.ts";
import { AF, inetAddress, SOCKADDR_IN } from "../../native/libc/sockaddr.ts";
import { bind, getsockname, recvFrom, SO, SOCK, SOL_SOCKET, sendTo, setIntOption, socket } from "../../native/libc/socket.ts";
import { loadOpenssl } from "../../src/host/sleeve-ciphers.ts";
import { Inbox } from "../../src/host/sleeve-inbox.ts";
import type { ReceiveKey } from "../../src/host/sleeve-keyring.ts";
import { OUTBOX_HEADROOM_BYTES, Outbox } from "../../src/host/sleeve-outbox.ts";
import { Session } from "../../src/host/sleeve-session.ts";
import { openSleeveSockets } from "../../src/host/sleeve-sockets.ts";
import type { ShortId } from "../../src/mesh/peer-name.ts";
import type { Ip } from "../../src/net/ip.ts";
import type { SleeveCipher } from "../../src/overlay/carriers.ts";
import { RECORD } from "../../src/overlay/sleeve/datagram.ts";

loadOpenssl(); // as the Worker does, so that both libraries are tried

const LOOPBACK = "127.0.0.1" as Ip;
export const TTL_VNI = 0x40_002_001;

export interface EndOptions {
  readonly cipher: SleeveCipher;
  readonly isInitiator: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly secret?: Uint8Array;
  readonly largestMtuBytes?: number;
}
export interface Arrived {
  readonly frame: Uint8Array;
  readonly mark: number;
}

function portOf(fd: number): number {
  return new DataView(getsockname(fd).buffer).getUint16(SOCKADDR_IN.port);
}

export class End implements Disposable {
  readonly fd: number;
  readonly port: number;
  readonly arrived: Arrived[] = [];
  readonly moves: number[] = [];
  readonly keys = new Map<number, ReceiveKey<Session>>();
  readonly indices: number[] = [];
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly session: Session;
  now = 0;
  #nextIndex: number;
  readonly #memory = Arena.allocate(1 << 17);

  constructor(options: EndOptions, peerPort: number) {
    const sockets = openSleeveSockets(0, LOOPBACK);
    this.fd = sockets.ipv4;
    this.port = portOf(this.fd);
    this.#nextIndex = options.localIndex;
    this.outbox = new Outbox({ ...sockets, waitWritable: () => false });
    this.inbox = new Inbox({
      frame: (from, at, length, _neighbour, mark) => this.arrived.push({ frame: from.bytes.slice(at, at + length), mark }),
      keyOf: (index) => this.keys.get(index),
      control: (_session, kind, payload) => this.#control(kind, payload),
      moved: (session) => this.moves.push(session.name.view.getUint16(2)),
    });
    const { cipher, isInitiator: initiator, localIndex, remoteIndex } = options;
    const secret = cipher === "none" ? undefined : Uint8Array.from(options.secret ?? new Uint8Array(32).fill(7));
    this.session = new Session(
      { neighbour: 2 as ShortId, localIndex, remoteIndex, secret, initiator, cipher, address: LOOPBACK, port: peerPort },
      options.largestMtuBytes ?? 1500,
      0,
      {
        send: (session, kind, payload, sizeBytes = 0) => this.outbox.control(session, kind, payload, sizeBytes, this.now),
        newIndex: () => ++this.#nextIndex,
        addReceiveKey: (key) => {
          this.keys.set(key.index, key);
          this.indices.push(key.index);
        },
        dropReceiveKey: (key) => {
          this.keys.delete(key.index);
          this.inbox?.forgetKey(key);
        },
        up: () => {},
        mtuChanged: () => {},
      },
    );
  }
  /** Hands a frame over as the switch does. */
  send(frame: Uint8Array, gsoBytes = 0): void {
    const at = OUTBOX_HEADROOM_BYTES + 17;
    this.#memory.bytes.set(frame, at);
    this.outbox.frame(this.session, TTL_VNI, this.#memory, at, frame.length, gsoBytes, this.now);
  }
  flush(): void {
    this.outbox.flush(this.now);
  }
  receive(): void {
    while (this.inbox.receive(this.fd, this.now));
    this.flush();
  }
  /** Lets time pass up to `now`. */
  tick(now: number): void {
    this.now = now;
    if (this.session.dueAt() <= now) this.session.due(now);
    this.flush();
  }
  /** Datagrams that came, good or bad. */
  get taken(): number {
    const { malformed = 0, unknownIndex = 0, otherMode = 0, replayed = 0, notAuthentic = 0 } = this.inbox.drops;
    return this.session.counts.received + malformed + unknownIndex + otherMode + replayed + notAuthentic;
  }
  get drops(): Readonly<Record<string, number>> {
    return Object.fromEntries(Object.entries({ ...this.outbox.drops, ...this.inbox.drops }).filter(([, count]) => count > 0));
  }
  [Symbol.dispose](): void {
    this.session.keys.close();
    close(this.fd);
  }

  #control(kind: number, payload: Uint8Array): void {
    const { session, now } = this;
    if (kind === RECORD.mtuProbe) this.outbox.control(session, RECORD.mtuAnswer, payload.slice(0, 2), 0, now);
    else if (kind === RECORD.mtuAnswer) session.mtuAnswered((payload[0]! << 8) | payload[1]!, now);
    else if (kind === RECORD.rekeyOffer) session.keys.offered(payload, now);
    else if (kind === RECORD.rekeyAnswer) session.rekeyAnswered(payload, now);
  }
}

/** Without receive offload: it sees each datagram for itself. */
function middleSocket(): number {
  const fd = socket(AF.INET, SOCK.DGRAM | SOCK.NONBLOCK, 0);
  setIntOption(fd, SOL_SOCKET, SO.RCVBUFFORCE, 8 << 20, "SO_RCVBUFFORCE");
  bind(fd, inetAddress(Uint8Array.of(127, 0, 0, 1), 0));
  return fd;
}

/** What becomes of a datagram: the datagrams that go on instead. */
export type Fate = (datagram: Uint8Array, to: "a" | "b") => readonly Uint8Array[];
const UNTOUCHED: Fate = (datagram) => [datagram];

/** a ── middle ── b */
export class Ends implements Disposable {
  readonly a: End;
  readonly b: End;
  /** Everything that was sent, by receiver. */
  readonly seen: { readonly to: "a" | "b"; readonly bytes: Uint8Array }[] = [];
  fate: Fate = UNTOUCHED;
  readonly #middle = middleSocket();
  readonly #elsewhere = middleSocket();
  readonly #into = allocate(65_536);
  readonly #from = allocate(SOCKADDR_IN.size);
  #delivered = 0;

  constructor(cipher: SleeveCipher, options: Partial<EndOptions> = {}) {
    const port = portOf(this.#middle);
    this.a = new End({ localIndex: 0x1000, remoteIndex: 0x2000, ...options, cipher, isInitiator: true }, port);
    this.b = new End({ localIndex: 0x2000, remoteIndex: 0x1000, ...options, cipher, isInitiator: false }, port);
  }
  /** Greets, and finds the path MTU. */
  settle(): void {
    this.a.session.greet(0);
    this.b.session.greet(0);
    this.a.flush();
    this.b.flush();
    for (let now = 1; now < 3_000; now += 50) this.step(now);
  }
  step(now: number): void {
    this.a.tick(now);
    this.b.tick(now);
    this.run();
  }
  /** Until nothing is under way. The kernel may take a moment between two sockets. */
  run(): void {
    const deadline = performance.now() + 1_000;
    do {
      this.a.flush();
      this.b.flush();
      this.a.receive();
      this.b.receive();
    } while (this.#relay() || (this.#isUnderWay() && performance.now() < deadline));
  }
  deliver(to: "a" | "b", bytes: Uint8Array, from = this.#middle): void {
    const copy = allocate(bytes.length);
    copy.set(bytes);
    this.#delivered++;
    sendTo(from, copy, copy.length, 0, inetAddress(Uint8Array.of(127, 0, 0, 1), this[to].port));
  }
  /** From an address the receiver has not heard of. */
  deliverFrom(_: "elsewhere", to: "a" | "b", bytes: Uint8Array): void {
    this.deliver(to, bytes, this.#elsewhere);
  }
  [Symbol.dispose](): void {
    close(this.#elsewhere);
    this.a[Symbol.dispose]();
    this.b[Symbol.dispose]();
    close(this.#middle);
  }

  #isUnderWay(): boolean {
    const { a, b } = this;
    return a.session.counts.sent + b.session.counts.sent > this.seen.length || a.taken + b.taken < this.#delivered;
  }
  #relay(): boolean {
    let any = false;
    for (;;) {
      const length = recvFrom(this.#middle, this.#into, 0x40, this.#from);
      if (length === undefined) return any;
      any = true;
      const to = new DataView(this.#from.buffer).getUint16(SOCKADDR_IN.port) === this.a.port ? "b" : "a";
      const bytes = this.#into.slice(0, length);
      this.seen.push({ to, bytes });
      for (const datagram of this.fate(bytes, to)) this.deliver(to, datagram);
    }
  }
}
