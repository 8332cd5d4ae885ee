// SPDX-License-Identifier: Apache-2.0
// From datagrams to frames: receives many at once (recvmmsg, UDP_GRO), opens them where they lie and reads their records. What is not authentic
// changes nothing and is counted.
import { Arena } from "../../native/ffi.ts";
import { Messages } from "../../native/libc/messages.ts";
import { MSG } from "../../native/libc/socket.ts";
import {
  CONTROL_RECORD_BYTES,
  COUNTER_AT,
  FRAGMENT_RECORD_BYTES,
  FRAME_RECORD_BYTES,
  HEADER_BYTES,
  INDEX_AT,
  RECORD,
  readUint24,
  TAG_BYTES,
} from "../overlay/sleeve/datagram.ts";
import { Reassembly } from "../overlay/sleeve/reassembly.ts";
import type { Injector } from "./sleeve-injector.ts";
import type { ReceiveKey, Session } from "./sleeve-session.ts";

const BUFFERS = 16;
const BUFFER_BYTES = 65_536;
const NAME_BYTES = 28;
/** linux/udp.h */
const SOL_UDP = 17;
const UDP_GRO = 104;
const TWO_32 = 2 ** 32;

export interface InboxDrops {
  malformed: number;
  unknownIndex: number;
  replayed: number;
  notAuthentic: number;
  fragmentLost: number;
}
export interface InboxPorts {
  keyOf(index: number): ReceiveKey | undefined;
  control(session: Session, kind: number, payload: Uint8Array): void;
  moved(session: Session): void;
}

export class Inbox {
  readonly drops: InboxDrops = { malformed: 0, unknownIndex: 0, replayed: 0, notAuthentic: 0, fragmentLost: 0 };
  readonly #ports: InboxPorts;
  readonly #injector: Injector;
  readonly #block = Arena.allocate(BUFFERS * BUFFER_BYTES);
  readonly #names = Arena.allocate(BUFFERS * NAME_BYTES);
  readonly #messages = new Messages(BUFFERS);
  readonly #reassembly = new Reassembly();
  readonly #whole = Arena.allocate(1 << 17);
  #now = 0;

  constructor(ports: InboxPorts, injector: Injector) {
    this.#ports = ports;
    this.#injector = injector;
  }

  /** Takes what waits at the socket, once. False: nothing did. */
  receive(fd: number, now: number): boolean {
    this.#now = now;
    for (let i = 0; i < BUFFERS; i++) {
      this.#messages.setPayload(i, this.#block, i * BUFFER_BYTES, BUFFER_BYTES);
      this.#messages.setName(i, this.#names, i * NAME_BYTES, NAME_BYTES);
      this.#messages.offerControl(i);
    }
    const received = this.#messages.receive(fd, MSG.DONTWAIT);
    if (received <= 0) return false; // nothing, or the error of an earlier datagram
    for (let i = 0; i < received; i++) {
      const at = i * BUFFER_BYTES;
      const length = this.#messages.lengthOf(i);
      const each = this.#messages.control32(i, SOL_UDP, UDP_GRO) ?? length;
      for (let offset = 0; offset < length && each > 0; offset += each) {
        this.#take(at + offset, Math.min(each, length - offset), i * NAME_BYTES);
      }
    }
    this.drops.fragmentLost = this.#reassembly.lost;
    return true;
  }
  forget(session: Session): void {
    this.#reassembly.forget(session);
  }

  #take(at: number, length: number, nameAt: number): void {
    const { view } = this.#block;
    if (length < HEADER_BYTES) {
      this.drops.malformed++;
      return;
    }
    const key = this.#ports.keyOf(view.getUint32(at + INDEX_AT));
    if (!key) {
      this.drops.unknownIndex++;
      return;
    }
    const [high, low] = [view.getUint32(at + COUNTER_AT), view.getUint32(at + COUNTER_AT + 4)];
    const counter = high * TWO_32 + low;
    // Larger than any sender can have come to; beyond 2^53 numbers would not be exact.
    if (high >= 2 ** 20 || !key.window.isNew(counter)) {
      this.drops.replayed++;
      return;
    }
    let end = at + length;
    if (key.cipher) {
      key.cipher.setCounter(high, low);
      if (!key.cipher.open(this.#block, at + HEADER_BYTES, length - HEADER_BYTES, at, HEADER_BYTES)) {
        this.drops.notAuthentic++;
        return;
      }
      end -= TAG_BYTES;
    }
    key.window.note(counter);
    const { session } = key;
    session.counts.received++;
    session.counts.receivedBytes += length;
    if (session.movedTo(this.#names.view, nameAt)) this.#ports.moved(session);
    session.heard(key, this.#now);
    this.#read(session, at + HEADER_BYTES, end);
  }

  #read(session: Session, start: number, end: number): void {
    const { view, bytes } = this.#block;
    let at = start;
    while (at < end) {
      const kind = view.getUint8(at);
      const head =
        kind === RECORD.frame ? FRAME_RECORD_BYTES : kind === RECORD.fragment ? FRAGMENT_RECORD_BYTES : CONTROL_RECORD_BYTES;
      if (at + head > end) break;
      const length = view.getUint16(at + head - (head === FRAGMENT_RECORD_BYTES ? 10 : 2));
      if (at + head + length > end) break;
      if (kind === RECORD.frame) this.#injector.add(this.#block, at + head, length, session.neighbour, view.getUint32(at + 1));
      else if (kind === RECORD.fragment) this.#piece(session, at, length);
      else this.#ports.control(session, kind, bytes.subarray(at + head, at + head + length));
      at += head + length;
    }
    if (at !== end) this.drops.malformed++;
  }

  #piece(session: Session, at: number, length: number): void {
    const { view, bytes } = this.#block;
    const [id, offset, total] = [view.getUint16(at + 7), readUint24(view, at + 9), readUint24(view, at + 12)];
    const from = at + FRAGMENT_RECORD_BYTES;
    const whole = this.#reassembly.add(session, id, offset, total, bytes.subarray(from, from + length), this.#now);
    if (!whole) return;
    this.#whole.bytes.set(whole);
    // The switch's mark has TTL and VNI in the same places as the record.
    this.#injector.add(this.#whole, 0, whole.length, session.neighbour, view.getUint32(at + 1));
  }
}
