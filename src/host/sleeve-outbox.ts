// SPDX-License-Identifier: Apache-2.0
// From frames to datagrams: cuts super-packets, puts small frames together, makes pieces of large ones, seals. A large frame is sealed from where
// it lies, straight to where it is sent from. No object is made for a frame.
import type { Arena } from "../../native/ffi.ts";
import { copyBytes } from "../../native/libc/messages.ts";
import type { PacketCipher } from "../../native/packet-cipher.ts";
import { Cutter, pieceBytes } from "../overlay/sleeve/cutting.ts";
import {
  CONTROL_RECORD_BYTES,
  COUNTER_AT,
  FRAGMENT_RECORD_BYTES,
  FRAME_BYTES_MAX,
  FRAME_RECORD_BYTES,
  HEADER_BYTES,
  INDEX_AT,
  TAG_BYTES,
  FRAGMENT_UNIT_BYTES as UNIT,
  writeFragmentRecord,
  writeFrameRecord,
} from "../overlay/sleeve/datagram.ts";
import { Nested } from "../overlay/sleeve/nested.ts";
import { Packet } from "../overlay/sleeve/packet.ts";
import { DATAGRAM_BYTES, type RunPorts, Runs } from "./sleeve-runs.ts";
import type { Session } from "./sleeve-session.ts";

/** Before each frame that is handed over there must be so much room to write in. */
export const OUTBOX_HEADROOM_BYTES = FRAGMENT_RECORD_BYTES;
const TWO_32 = 2 ** 32;

export class Outbox {
  readonly #drops = { tooLarge: 0, notCut: 0, keyExpired: 0 };
  readonly #runs: Runs;
  readonly #memory: Arena;
  readonly #packet = new Packet();
  readonly #nested = new Nested();
  readonly #cutter = new Cutter();
  // The datagram being filled, if any.
  #session: Session | undefined;
  #start = 0;
  #end = 0;
  #now = 0;

  constructor(ports: RunPorts) {
    this.#runs = new Runs(ports);
    this.#memory = this.#runs.memory;
  }

  /** Bytes that wait to be sent. */
  get pendingBytes(): number {
    return this.#runs.bytes;
  }
  get drops(): Readonly<Record<string, number>> {
    return { ...this.#drops, ...this.#runs.drops };
  }

  /** Takes one frame of `length` bytes at `at` of `from`, and writes over it; `gsoBytes` is the payload of each of its segments, 0: it is no
   *  super-packet. */
  frame(session: Session, ttlVni: number, from: Arena, at: number, length: number, gsoBytes: number, now: number): void {
    this.#now = now;
    if (session.keys.isExhausted(now)) {
      this.#drops.keyExpired++;
      return;
    }
    const room = session.payloadBytes - FRAME_RECORD_BYTES;
    const isRead = this.#packet.read(from.view, at, length);
    const nested = isRead && this.#nested.read(from.view, at, this.#packet) ? this.#nested : undefined;
    const packet = nested ? nested.inner : this.#packet;
    const isTooLarge = gsoBytes > 0 || length > room;
    const piece = isTooLarge && isRead ? pieceBytes(from.view, at, packet, gsoBytes, room) : 0;
    if (piece > 0) this.#cut(session, ttlVni, from, at, packet, nested, piece);
    else if (gsoBytes > 0 && !isRead) this.#drops.notCut++;
    else {
      nested?.finish(from.view, at);
      this.#whole(session, ttlVni, from, at, length);
    }
  }

  /** Sends one control record in a datagram of its own; `sizeBytes`: padded to an IP packet of this size. */
  control(session: Session, kind: number, payload: Uint8Array, sizeBytes: number, now: number): void {
    this.#now = now;
    const { view, bytes } = this.#memory;
    const at = this.#begin(session);
    const room = Math.min(sizeBytes, DATAGRAM_BYTES) - session.overheadBytes - CONTROL_RECORD_BYTES;
    const length = Math.max(payload.length, room);
    view.setUint8(at, kind);
    view.setUint16(at + 1, length);
    bytes.fill(0, at + CONTROL_RECORD_BYTES, at + CONTROL_RECORD_BYTES + length);
    bytes.set(payload, at + CONTROL_RECORD_BYTES);
    this.#end = at + CONTROL_RECORD_BYTES + length;
    this.#close(true);
  }

  /** Sends everything. */
  flush(now: number): void {
    this.#close(false);
    this.#runs.flush(now);
  }

  // Filling

  /** One frame as it is: with others in a datagram, alone in one, or in several. */
  #whole(session: Session, ttlVni: number, from: Arena, at: number, length: number): void {
    const needed = FRAME_RECORD_BYTES + length;
    if (needed > session.payloadBytes) this.#fragment(session, ttlVni, from, at, length);
    else if (this.#session === session && this.#end - this.#start - HEADER_BYTES + needed <= session.payloadBytes) {
      this.#append(ttlVni, from, at, length);
    } else if (needed * 2 > session.payloadBytes) {
      const record = at - FRAME_RECORD_BYTES;
      writeFrameRecord(from.view, record, ttlVni, length);
      this.#seal(session, from, record, needed);
    } else {
      this.#begin(session);
      this.#append(ttlVni, from, at, length);
    }
  }
  #append(ttlVni: number, from: Arena, at: number, length: number): void {
    copyBytes(from, at, this.#memory, writeFrameRecord(this.#memory.view, this.#end, ttlVni, length), length);
    this.#end += FRAME_RECORD_BYTES + length;
  }
  #cut(
    session: Session,
    ttlVni: number,
    from: Arena,
    at: number,
    packet: Packet,
    nested: Nested | undefined,
    piece: number,
  ): void {
    const { headerBytes, payloadBytes } = packet;
    this.#cutter.begin(from.bytes, at, packet);
    for (let offset = 0, number = 0; offset < payloadBytes; offset += piece, number++) {
      const bytes = Math.min(piece, payloadBytes - offset);
      const start = this.#cutter.write(from.view, from.bytes, at, offset, bytes, number);
      nested?.dress(from.view, start, bytes, number);
      this.#whole(session, ttlVni, from, start, headerBytes + bytes);
    }
  }
  #fragment(session: Session, ttlVni: number, from: Arena, at: number, length: number): void {
    if (length > FRAME_BYTES_MAX) {
      this.#drops.tooLarge++;
      return;
    }
    const units = Math.floor((session.payloadBytes - FRAGMENT_RECORD_BYTES) / UNIT);
    session.fragmentId = (session.fragmentId + 1) & 0xffff;
    const pieces = Math.ceil(length / (units * UNIT));
    const piece = Math.ceil(length / pieces / UNIT) * UNIT; // equal ones make one run
    for (let offset = 0; offset < length; offset += piece) {
      const bytes = Math.min(piece, length - offset);
      const record = at + offset - FRAGMENT_RECORD_BYTES;
      writeFragmentRecord(from.view, record, ttlVni, bytes, session.fragmentId, offset, length);
      this.#seal(session, from, record, FRAGMENT_RECORD_BYTES + bytes);
    }
  }

  /** Where records of a new datagram begin. */
  #begin(session: Session): number {
    this.#close(false);
    this.#start = this.#runs.place();
    this.#session = session;
    this.#end = this.#start + HEADER_BYTES;
    return this.#end;
  }
  /** Seals the datagram being filled. */
  #close(isAlone: boolean): void {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    const length = this.#end - this.#start - HEADER_BYTES;
    const cipher = this.#head(session, this.#start);
    if (cipher) cipher.seal(this.#memory, this.#start + HEADER_BYTES, length, this.#memory, this.#start, HEADER_BYTES);
    this.#add(session, length, isAlone);
  }
  /** A datagram of its own of the records at `at`, from there. */
  #seal(session: Session, from: Arena, at: number, length: number): void {
    this.#close(false);
    const start = this.#runs.place();
    const cipher = this.#head(session, start);
    if (cipher) cipher.seal(from, at, length, this.#memory, start, HEADER_BYTES);
    else copyBytes(from, at, this.#memory, start + HEADER_BYTES, length);
    this.#add(session, length, false);
  }
  /** Writes the header and makes the cipher ready for it. */
  #head(session: Session, start: number): PacketCipher | undefined {
    const { view } = this.#memory;
    const key = session.keys.send;
    const counter = key.counter++;
    const high = Math.floor(counter / TWO_32) | key.mode;
    view.setUint32(start + INDEX_AT, key.remoteIndex);
    view.setUint32(start + COUNTER_AT, high);
    view.setUint32(start + COUNTER_AT + 4, counter >>> 0);
    key.cipher?.setCounter(high, counter >>> 0);
    return key.cipher;
  }
  #add(session: Session, length: number, isAlone: boolean): void {
    const bytes = HEADER_BYTES + length + (session.keys.send.cipher ? TAG_BYTES : 0);
    session.sentAt = this.#now;
    session.counts.sent++;
    session.counts.sentBytes += bytes;
    if (!isAlone && length * 4 > session.payloadBytes * 3) session.mtu.inUse(this.#now);
    this.#runs.add(session, bytes, isAlone);
  }
}
