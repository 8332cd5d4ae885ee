// SPDX-License-Identifier: Apache-2.0
// From datagrams to frames: receives many at once (recvmmsg, UDP_GRO), opens them where they lie and reads their records. What is not authentic
// changes nothing and is counted.
import { Arena } from "../../native/ffi.ts";
import { copyBytes, Messages } from "../../native/libc/messages.ts";
import { MSG } from "../../native/libc/socket.ts";
import {
  CLEAR_MODE,
  CONTROL_RECORD_BYTES,
  COUNTER_AT,
  COUNTER_HIGH_LIMIT,
  FRAGMENT_RECORD_BYTES,
  FRAME_BYTES_MAX,
  FRAME_RECORD_BYTES,
  HEADER_BYTES,
  INDEX_AT,
  RECORD,
  readUint24,
  TAG_BYTES,
} from "../overlay/sleeve/datagram.ts";
import { REASSEMBLY_SLOTS, Reassembly } from "../overlay/sleeve/reassembly.ts";
import type { ReceiveKey } from "./sleeve-keyring.ts";
import type { Session } from "./sleeve-session.ts";

const BUFFERS = 16;
const BUFFER_BYTES = 65_536;
const NAME_BYTES = 28;
/** linux/udp.h */
const SOL_UDP = 17;
const UDP_GRO = 104;
const SLOT_BYTES = Math.ceil(FRAME_BYTES_MAX / 8) * 8;
const TWO_32 = 2 ** 32;

export interface InboxPorts {
  /** Takes a frame of a neighbour before the call returns; `mark` is TTL and VNI. */
  frame(from: Arena, at: number, length: number, neighbour: number, mark: number): void;
  keyOf(index: number): ReceiveKey<Session> | undefined;
  control(session: Session, kind: number, payload: Uint8Array): void;
  moved(session: Session): void;
}

export class Inbox {
  readonly #drops = { malformed: 0, unknownIndex: 0, otherMode: 0, replayed: 0, notAuthentic: 0, badPiece: 0 };
  readonly #ports: InboxPorts;
  readonly #block = Arena.allocate(BUFFERS * BUFFER_BYTES);
  readonly #names = Arena.allocate(BUFFERS * NAME_BYTES);
  readonly #messages = new Messages(BUFFERS);
  readonly #reassembly = new Reassembly();
  readonly #pieces = Arena.allocate(REASSEMBLY_SLOTS * SLOT_BYTES);
  #key: ReceiveKey<Session> | undefined;
  #now = 0;

  constructor(ports: InboxPorts) {
    this.#ports = ports;
    for (let i = 0; i < BUFFERS; i++) this.#messages.setPayload(i, this.#block, i * BUFFER_BYTES, BUFFER_BYTES);
    this.#offer(BUFFERS);
  }

  get drops(): Readonly<Record<string, number>> {
    return { ...this.#drops, fragmentLost: this.#reassembly.lost };
  }
  /** Takes what waits at the socket, once. False: nothing did. */
  receive(fd: number, now: number): boolean {
    this.#now = now;
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
    this.#offer(received);
    return true;
  }
  /** Makes room again in the first `count` messages for what the kernel says beside the bytes: it wrote over what it was offered. */
  #offer(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#messages.setName(i, this.#names, i * NAME_BYTES, NAME_BYTES);
      this.#messages.offerControl(i);
    }
  }
  forget(session: Session): void {
    this.#reassembly.forget(session);
    this.#key = undefined;
  }
  /** A key is not valid any more. */
  forgetKey(key: ReceiveKey<Session>): void {
    if (this.#key === key) this.#key = undefined;
  }

  #take(at: number, length: number, nameAt: number): void {
    const { view } = this.#block;
    if (length < HEADER_BYTES) {
      this.#drops.malformed++;
      return;
    }
    const index = view.getUint32(at + INDEX_AT);
    const key = this.#key?.index === index ? this.#key : this.#ports.keyOf(index);
    if (!key) {
      this.#drops.unknownIndex++;
      return;
    }
    this.#key = key;
    const { session, cipher } = key;
    const high = view.getUint32(at + COUNTER_AT);
    const low = view.getUint32(at + COUNTER_AT + 4);
    if (high >= CLEAR_MODE !== (cipher === undefined)) {
      this.#drops.otherMode++;
      return;
    }
    const upper = high % CLEAR_MODE;
    const counter = upper * TWO_32 + low;
    if (upper >= COUNTER_HIGH_LIMIT || !key.window.isNew(counter)) {
      this.#drops.replayed++;
      return;
    }
    let end = at + length;
    if (cipher) {
      cipher.setCounter(high, low);
      if (!cipher.open(this.#block, at, HEADER_BYTES, length - HEADER_BYTES)) {
        this.#drops.notAuthentic++;
        return;
      }
      end -= TAG_BYTES;
    }
    // What was overtaken on the way says nothing about where the sender is now.
    const isNewest = key.window.note(counter);
    session.counts.received++;
    session.counts.receivedBytes += length;
    if (isNewest && session.movedTo(this.#names.view, nameAt, this.#now)) this.#ports.moved(session);
    session.heard(key, this.#now);
    this.#read(session, at + HEADER_BYTES, end);
  }

  #read(session: Session, start: number, end: number): void {
    const { view, bytes } = this.#block;
    let at = start;
    while (at + CONTROL_RECORD_BYTES <= end) {
      const kind = view.getUint8(at);
      const isFrame = kind === RECORD.frame;
      const isPiece = kind === RECORD.fragment;
      const head = isFrame ? FRAME_RECORD_BYTES : isPiece ? FRAGMENT_RECORD_BYTES : CONTROL_RECORD_BYTES;
      if (at + head > end) break;
      const length = view.getUint16(isFrame || isPiece ? at + 5 : at + 1);
      if (at + head + length > end) break;
      if (isFrame) this.#ports.frame(this.#block, at + head, length, session.neighbour, view.getUint32(at + 1));
      else if (isPiece) this.#piece(session, at, length);
      else this.#ports.control(session, kind, bytes.subarray(at + head, at + head + length));
      at += head + length;
    }
    if (at !== end) this.#drops.malformed++;
  }

  #piece(session: Session, at: number, length: number): void {
    const { view } = this.#block;
    const offset = readUint24(view, at + 9);
    const slot = this.#reassembly.take(session, view.getUint16(at + 7), offset, length, readUint24(view, at + 12), this.#now);
    if (slot < 0) {
      this.#drops.badPiece++;
      return;
    }
    const into = slot * SLOT_BYTES;
    copyBytes(this.#block, at + FRAGMENT_RECORD_BYTES, this.#pieces, into + offset, length);
    const whole = this.#reassembly.finish(slot);
    // The switch's mark has TTL and VNI in the same places as the record.
    if (whole > 0) this.#ports.frame(this.#pieces, into, whole, session.neighbour, view.getUint32(at + 1));
  }
}
