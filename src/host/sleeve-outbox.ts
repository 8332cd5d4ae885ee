// SPDX-License-Identifier: Apache-2.0
// From frames to datagrams: cuts super-packets, puts small frames together, makes pieces of large ones, seals, and sends equal datagrams as one
// (UDP_SEGMENT, sendmmsg). One block of memory is filled from its beginning and sent whole; no object is made for a frame.
import { ERRNO } from "../../native/errno.ts";
import { Arena } from "../../native/ffi.ts";
import { copyBytes, Messages } from "../../native/libc/messages.ts";
import { MSG } from "../../native/libc/socket.ts";
import { mayCut, pieceBytes, writePieceHeaders } from "../overlay/sleeve/cutting.ts";
import {
  CONTROL_RECORD_BYTES,
  COUNTER_AT,
  FRAGMENT_RECORD_BYTES,
  FRAME_BYTES_MAX,
  FRAME_RECORD_BYTES,
  HEADER_BYTES,
  INDEX_AT,
  IP_UDP_BYTES,
  TAG_BYTES,
  writeFragmentRecord,
  writeFrameRecord,
} from "../overlay/sleeve/datagram.ts";
import { Packet } from "../overlay/sleeve/packet.ts";
import type { Session } from "./sleeve-session.ts";

const BLOCK_BYTES = 1 << 20;
/** Of one datagram at most, and of one run (linux/udp.h, UDP_MAX_SEGMENTS; the payload of one IP packet). */
const DATAGRAM_BYTES = 65_507;
const RUN_DATAGRAMS = 64;
const RUN_BYTES = 65_000;
const RUNS = 256;
/** linux/udp.h */
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const TWO_32 = 2 ** 32;

export interface OutboxDrops {
  tooLarge: number;
  noRoom: number;
  keyExpired: number;
  sendFailed: number;
}

export class Outbox {
  readonly drops: OutboxDrops = { tooLarge: 0, noRoom: 0, keyExpired: 0, sendFailed: 0 };
  /** The kernel takes UDP_SEGMENT; false after it refused. */
  segments = true;
  readonly #fds: { readonly ipv4: number; readonly ipv6: number };
  readonly #waitWritable: (fd: number) => boolean;
  readonly #block = Arena.allocate(BLOCK_BYTES);
  readonly #messages = new Messages(RUNS);
  readonly #packet = new Packet();
  // Runs: equal datagrams one after the other, for one session; the last may be shorter.
  readonly #start = new Int32Array(RUNS);
  readonly #bytes = new Int32Array(RUNS);
  readonly #size = new Int32Array(RUNS);
  readonly #count = new Int32Array(RUNS);
  readonly #sessions: (Session | undefined)[] = new Array(RUNS).fill(undefined);
  #runs = 0;
  #isRunOpen = false;
  /** Where the next datagram begins. */
  #at = 0;
  // The datagram being filled.
  #session: Session | undefined;
  #end = 0;
  #now = 0;

  /** `fds`: UDP sockets, -1 where there is none. `waitWritable`: false when it stays full. */
  constructor(fds: { readonly ipv4: number; readonly ipv6: number }, waitWritable: (fd: number) => boolean) {
    this.#fds = fds;
    this.#waitWritable = waitWritable;
  }

  /** Bytes that wait to be sent. */
  get pendingBytes(): number {
    return this.#at + (this.#session ? this.#end - this.#at : 0);
  }

  /** Takes one frame of `length` bytes at `at` of `from`; `gsoBytes` is the payload of each of its segments, 0: it is no super-packet. */
  frame(session: Session, ttlVni: number, from: Arena, at: number, length: number, gsoBytes: number, now: number): void {
    this.#now = now;
    if (session.isExhausted(now)) {
      this.drops.keyExpired++;
      return;
    }
    const room = session.payloadBytes - FRAME_RECORD_BYTES;
    if (length <= room) this.#append(session, ttlVni, from, at, length);
    else if (this.#packet.read(from.view, at, length) && mayCut(this.#packet, gsoBytes, room)) {
      this.#cut(session, ttlVni, from, at, pieceBytes(this.#packet, gsoBytes, room));
    } else if (length <= FRAME_BYTES_MAX) this.#fragment(session, ttlVni, from, at, length);
    else this.drops.tooLarge++;
  }

  /** Sends one control record at once, in a datagram of its own; `sizeBytes`: padded to an IP packet of this size. */
  control(session: Session, kind: number, payload: Uint8Array, sizeBytes: number, now: number): void {
    this.flush(); // what cannot be sent because of its size must not take others with it
    this.#now = now;
    const { view, bytes } = this.#block;
    const at = this.#begin(session);
    const overhead = IP_UDP_BYTES[session.isIpv6 ? "ipv6" : "ipv4"] + HEADER_BYTES + (session.sendKey.cipher ? TAG_BYTES : 0);
    const length = Math.max(payload.length, Math.min(sizeBytes, DATAGRAM_BYTES) - overhead - CONTROL_RECORD_BYTES);
    view.setUint8(at, kind);
    view.setUint16(at + 1, length);
    bytes.fill(0, at + CONTROL_RECORD_BYTES, at + CONTROL_RECORD_BYTES + length);
    bytes.set(payload, at + CONTROL_RECORD_BYTES);
    this.#end = at + CONTROL_RECORD_BYTES + length;
    this.flush();
  }

  /** Sends everything. */
  flush(): void {
    this.#close();
    let first = 0;
    while (first < this.#runs) {
      const fd = this.#fdOf(first);
      let after = first;
      while (after < this.#runs && this.#fdOf(after) === fd) this.#prepare(after++);
      this.#sendAll(fd, first, after);
      first = after;
    }
    this.#sessions.fill(undefined, 0, this.#runs);
    this.#runs = 0;
    this.#isRunOpen = false;
    this.#at = 0;
  }

  // Filling

  /** Where records of a new datagram begin. */
  #begin(session: Session): number {
    this.#close();
    if (this.#at + DATAGRAM_BYTES > BLOCK_BYTES || this.#runs === RUNS) this.flush();
    this.#session = session;
    this.#end = this.#at + HEADER_BYTES;
    return this.#end;
  }
  #append(session: Session, ttlVni: number, from: Arena, at: number, length: number): void {
    const needed = FRAME_RECORD_BYTES + length;
    const isFitting = this.#session === session && this.#end - this.#at - HEADER_BYTES + needed <= session.payloadBytes;
    const start = isFitting ? this.#end : this.#begin(session);
    copyBytes(from, at, this.#block, writeFrameRecord(this.#block.view, start, ttlVni, length), length);
    this.#end = start + needed;
  }
  #cut(session: Session, ttlVni: number, from: Arena, at: number, piece: number): void {
    const packet = this.#packet;
    const { headerBytes, payloadBytes } = packet;
    if (piece <= 0) {
      this.drops.tooLarge++;
      return;
    }
    for (let offset = 0, number = 0; offset < payloadBytes; offset += piece, number++) {
      const bytes = Math.min(piece, payloadBytes - offset);
      const frameAt = writeFrameRecord(this.#block.view, this.#begin(session), ttlVni, headerBytes + bytes);
      copyBytes(from, at, this.#block, frameAt, headerBytes);
      copyBytes(from, at + headerBytes + offset, this.#block, frameAt + headerBytes, bytes);
      writePieceHeaders(this.#block.view, frameAt, packet, offset, bytes, number);
      this.#end = frameAt + headerBytes + bytes;
    }
  }
  #fragment(session: Session, ttlVni: number, from: Arena, at: number, length: number): void {
    const room = session.payloadBytes - FRAGMENT_RECORD_BYTES;
    session.fragmentId = (session.fragmentId + 1) & 0xffff;
    const pieces = Math.ceil(length / room);
    const piece = Math.ceil(length / pieces); // equal ones make one run
    for (let offset = 0; offset < length; offset += piece) {
      const bytes = Math.min(piece, length - offset);
      const start = this.#begin(session);
      const into = writeFragmentRecord(this.#block.view, start, ttlVni, bytes, session.fragmentId, offset, length);
      copyBytes(from, at + offset, this.#block, into, bytes);
      this.#end = into + bytes;
    }
  }

  /** Seals the datagram being filled and puts it into a run. */
  #close(): void {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    const { view } = this.#block;
    const start = this.#at;
    const key = session.sendKey;
    const counter = key.counter++;
    const [high, low] = [Math.floor(counter / TWO_32), counter >>> 0];
    view.setUint32(start + INDEX_AT, key.remoteIndex);
    view.setUint32(start + COUNTER_AT, high);
    view.setUint32(start + COUNTER_AT + 4, low);
    let bytes = this.#end - start;
    if (key.cipher) {
      key.cipher.setCounter(high, low);
      key.cipher.seal(this.#block, start + HEADER_BYTES, bytes - HEADER_BYTES, start, HEADER_BYTES);
      bytes += TAG_BYTES;
    }
    session.sentAt = this.#now;
    session.counts.sent++;
    session.counts.sentBytes += bytes;
    if (bytes * 4 > session.mtu.bytes * 3) session.mtu.inUse(this.#now);
    this.#at = start + bytes;
    this.#addToRun(session, start, bytes);
  }
  #addToRun(session: Session, start: number, bytes: number): void {
    const run = this.#runs - 1;
    const mayExtend =
      this.#isRunOpen &&
      this.segments &&
      this.#sessions[run] === session &&
      bytes <= this.#size[run]! && // run is below RUNS
      this.#count[run]! < RUN_DATAGRAMS &&
      this.#bytes[run]! + bytes <= RUN_BYTES;
    if (mayExtend) {
      this.#count[run]!++;
      this.#bytes[run]! += bytes;
      this.#isRunOpen = bytes === this.#size[run];
      return;
    }
    this.#start[this.#runs] = start;
    this.#bytes[this.#runs] = bytes;
    this.#size[this.#runs] = bytes;
    this.#count[this.#runs] = 1;
    this.#sessions[this.#runs] = session;
    this.#runs++;
    this.#isRunOpen = true;
  }

  // Sending

  #fdOf(run: number): number {
    return this.#sessions[run]?.isIpv6 ? this.#fds.ipv6 : this.#fds.ipv4;
  }
  #prepare(run: number): void {
    const session = this.#sessions[run]!; // below #runs
    this.#messages.setPayload(run, this.#block, this.#start[run]!, this.#bytes[run]!);
    this.#messages.setName(run, session.name, 0, session.nameBytes);
    if (this.#count[run]! > 1) this.#messages.setControl16(run, SOL_UDP, UDP_SEGMENT, this.#size[run]!);
    else this.#messages.clearControl(run);
  }
  #sendAll(fd: number, first: number, after: number): void {
    let at = first;
    let isSecondTry = false;
    while (at < after) {
      const sent = fd < 0 ? -ERRNO.EAFNOSUPPORT : this.#messages.send(fd, at, after - at, MSG.DONTWAIT | MSG.NOSIGNAL);
      if (sent > 0) {
        at += sent;
        isSecondTry = false;
      } else if (sent === -ERRNO.EAGAIN && !isSecondTry && this.#waitWritable(fd)) isSecondTry = true;
      else if (this.#count[at]! > 1 && isRefusal(sent)) this.#sendSingly(fd, at++, true);
      else if (!isSecondTry && sent === -ERRNO.ECONNREFUSED)
        isSecondTry = true; // of an earlier datagram
      else {
        this.drops.sendFailed += this.#count[at++]!;
        isSecondTry = false;
      }
    }
  }
  /** The kernel does not make segments of this run: the datagrams one by one, in runs of one from now on. */
  #sendSingly(fd: number, run: number, isRefused: boolean): void {
    if (isRefused) this.segments = false;
    const size = this.#size[run]!;
    const end = this.#start[run]! + this.#bytes[run]!;
    const name = this.#sessions[run]!;
    for (let at = this.#start[run]!; at < end; at += size) {
      this.#messages.setPayload(run, this.#block, at, Math.min(size, end - at));
      this.#messages.setName(run, name.name, 0, name.nameBytes);
      this.#messages.clearControl(run);
      if (this.#messages.send(fd, run, 1, MSG.DONTWAIT | MSG.NOSIGNAL) < 0) this.drops.sendFailed++;
    }
  }
}

/** What kernels and devices without UDP segmentation say. EMSGSIZE is not among it: the datagrams are too large, alone too. */
function isRefusal(result: number): boolean {
  return result === -ERRNO.EINVAL || result === -ERRNO.EIO || result === -ERRNO.EOPNOTSUPP;
}
