// SPDX-License-Identifier: Apache-2.0
// Finished datagrams on their way into the kernel: one block of memory filled from its beginning, equal datagrams for one neighbour as one run
// (UDP_SEGMENT), all runs with one system call (sendmmsg). What the kernel refuses is done the next simpler way.
import { ERRNO } from "../../native/errno.ts";
import { Arena } from "../../native/ffi.ts";
import { Messages } from "../../native/libc/messages.ts";
import { MSG } from "../../native/libc/socket.ts";
import type { Session } from "./sleeve-session.ts";

const BLOCK_BYTES = 1 << 20;
/** Of one datagram at most, and of one run (linux/udp.h, UDP_MAX_SEGMENTS before 6.10; the payload of one IP packet). */
export const DATAGRAM_BYTES = 65_507;
const RUN_DATAGRAMS = 64;
const RUN_BYTES = 65_000;
const RUNS = 256;
/** linux/udp.h */
const SOL_UDP = 17;
const UDP_SEGMENT = 103;

export interface RunPorts {
  /** UDP sockets, -1 where there is none. */
  readonly ipv4: number;
  readonly ipv6: number;
  /** False: the socket stays full. */
  waitWritable(fd: number): boolean;
}

export class Runs {
  readonly drops = { sendFailed: 0, sendFull: 0 };
  readonly memory = Arena.allocate(BLOCK_BYTES);
  readonly #ports: RunPorts;
  readonly #messages = new Messages(RUNS);
  // Equal datagrams one after the other, for one session; the last may be shorter.
  readonly #start = new Int32Array(RUNS);
  readonly #bytes = new Int32Array(RUNS);
  readonly #size = new Int32Array(RUNS);
  readonly #count = new Int32Array(RUNS);
  readonly #sessions: (Session | undefined)[] = new Array(RUNS).fill(undefined);
  #runs = 0;
  #isOpen = false;
  #at = 0;
  #now = 0;

  constructor(ports: RunPorts) {
    this.#ports = ports;
  }

  /** Bytes that wait to be sent. */
  get bytes(): number {
    return this.#at;
  }
  /** Where the next datagram is to be written; there is room for the largest. */
  place(): number {
    if (this.#at + DATAGRAM_BYTES > BLOCK_BYTES || this.#runs === RUNS) this.flush(this.#now);
    return this.#at;
  }
  /** A datagram of this size was written there. `isAlone`: nothing else is to be lost with it. */
  add(session: Session, bytes: number, isAlone: boolean): void {
    const run = this.#runs - 1;
    const mayExtend =
      this.#isOpen &&
      !isAlone &&
      this.#sessions[run] === session &&
      session.segments &&
      bytes <= this.#size[run]! && // run is below RUNS
      this.#count[run]! < RUN_DATAGRAMS &&
      this.#bytes[run]! + bytes <= RUN_BYTES;
    if (mayExtend) {
      this.#count[run]!++;
      this.#bytes[run]! += bytes;
      this.#isOpen = bytes === this.#size[run];
    } else {
      this.#start[this.#runs] = this.#at;
      this.#bytes[this.#runs] = bytes;
      this.#size[this.#runs] = bytes;
      this.#count[this.#runs] = 1;
      this.#sessions[this.#runs] = session;
      this.#runs++;
      this.#isOpen = !isAlone;
    }
    this.#at += bytes;
  }

  /** Sends everything. */
  flush(now: number): void {
    this.#now = now;
    if (this.#runs === 0) return;
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
    this.#isOpen = false;
    this.#at = 0;
  }

  #fdOf(run: number): number {
    return this.#sessions[run]?.isIpv6 ? this.#ports.ipv6 : this.#ports.ipv4;
  }
  #prepare(run: number): void {
    const session = this.#sessions[run]!; // below #runs
    this.#messages.setPayload(run, this.memory, this.#start[run]!, this.#bytes[run]!);
    this.#messages.setName(run, session.name, 0, session.nameBytes);
    if (this.#count[run]! > 1) this.#messages.setControl16(run, SOL_UDP, UDP_SEGMENT, this.#size[run]!);
    else this.#messages.clearControl(run);
  }
  #sendAll(fd: number, first: number, after: number): void {
    let at = first;
    while (at < after) {
      const sent = this.#send(fd, at, after - at);
      if (sent > 0) at += sent;
      else if (this.#count[at]! > 1 && isRefusal(sent)) this.#sendSingly(fd, at++);
      else this.#failed(at, sent, this.#count[at++]!);
    }
  }
  /** As Messages.send, with a second try where that makes sense: after the error of an earlier datagram, or when there is room again. */
  #send(fd: number, first: number, count: number): number {
    if (fd < 0) return -ERRNO.EAFNOSUPPORT;
    const sent = this.#messages.send(fd, first, count, MSG.DONTWAIT | MSG.NOSIGNAL);
    const mayTryAgain = sent === -ERRNO.ECONNREFUSED || (sent === -ERRNO.EAGAIN && this.#ports.waitWritable(fd));
    return mayTryAgain ? this.#messages.send(fd, first, count, MSG.DONTWAIT | MSG.NOSIGNAL) : sent;
  }
  #failed(run: number, code: number, datagrams: number): void {
    if (code === -ERRNO.EAGAIN || code === -ERRNO.ENOBUFS) this.drops.sendFull += datagrams;
    else this.drops.sendFailed += datagrams;
    if (code === -ERRNO.EMSGSIZE) this.#sessions[run]?.linkRefuses(this.#size[run]!, this.#now);
  }
  /** The kernel does not make segments of this run, so the datagrams go one by one. When that works the segments were the trouble, not the size. */
  #sendSingly(fd: number, run: number): void {
    const session = this.#sessions[run]!; // below #runs
    const size = this.#size[run]!;
    const end = this.#start[run]! + this.#bytes[run]!;
    for (let at = this.#start[run]!; at < end; at += size) {
      this.#messages.setPayload(run, this.memory, at, Math.min(size, end - at));
      this.#messages.clearControl(run);
      const sent = this.#send(fd, run, 1);
      if (sent > 0) session.refuseSegments(this.#now);
      else this.#failed(run, sent, 1);
    }
  }
}

/** What kernels and devices without UDP segmentation say; some say EINVAL also when the datagrams are too large. */
function isRefusal(result: number): boolean {
  return result === -ERRNO.EINVAL || result === -ERRNO.EIO || result === -ERRNO.EOPNOTSUPP;
}
