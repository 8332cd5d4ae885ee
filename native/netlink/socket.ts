// SPDX-License-Identifier: Apache-2.0
// A conversation with the kernel: request and acknowledgement, request and one answer, dump. Blocking, 20 to 60 µs a round trip, so it is
// fine on the main thread. The socket talks to the network namespace it was opened in, wherever the thread is later.
import { ERRNO, isSystemError } from "../errno.ts";
import { allocate } from "../ffi.ts";
import { close } from "../libc/fd.ts";
import { AF, netlinkAddress, SOCKADDR_NL } from "../libc/sockaddr.ts";
import { bind, MSG, recvFrom, SOCK, sendTo, setIntOption, setReceiveTimeout, socket } from "../libc/socket.ts";
import { type Message, type MessageWriter, NLM_F, NLMSG, readMessages } from "./codec.ts";
import { NetlinkError, readRefusal, type Subject } from "./error.ts";

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;
export const SOL_NETLINK = 270;
export const NETLINK_NO_ENOBUFS = 5;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const RECEIVE_BYTES = 32_768; // the kernel fills dumps up to the reader's buffer, at most this much
const ANSWER_TIMEOUT_MS = 5_000; // the kernel answers in microseconds; this only turns a kernel fault into an error
const DUMP_ATTEMPTS = 20; // of a table that changes while it is read; each takes well under a millisecond

export class NetlinkSocket implements Disposable {
  #fd: number | null;
  #sequence = 0;
  readonly #buffer = allocate(RECEIVE_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #sender = allocate(SOCKADDR_NL.size);
  readonly #senderView = new DataView(this.#sender.buffer);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens a socket in the calling thread's namespace. @throws {SystemError} */
  static open(protocol: number = NETLINK_ROUTE): NetlinkSocket {
    const fd = socket(AF.NETLINK, SOCK.RAW, protocol);
    try {
      bind(fd, netlinkAddress(), "netlink");
      setReceiveTimeout(fd, ANSWER_TIMEOUT_MS);
      for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) enable(fd, option);
      return new NetlinkSocket(fd);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) close(this.#fd);
    this.#fd = null;
  }

  /** Sends a change (made with NLM_F.REQUEST | NLM_F.ACK) and waits for the kernel's yes. @throws {NetlinkError} its no */
  request(writer: MessageWriter, subject: Subject): void {
    const sequence = this.#send(writer, subject);
    for (;;) {
      for (const message of this.#receive(subject)) {
        if (message.sequence !== sequence || message.type !== NLMSG.ERROR) continue;
        const refusal = readRefusal(message, subject);
        if (refusal) throw refusal;
        return;
      }
    }
  }

  /** Sends a question (NLM_F.REQUEST without ACK) and decodes its one answer. @throws {NetlinkError} */
  ask<Answer>(writer: MessageWriter, subject: Subject, decode: (message: Message) => Answer): Answer {
    const sequence = this.#send(writer, subject);
    for (;;) {
      for (const message of this.#receive(subject)) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG.ERROR) return decode(message);
        throw readRefusal(message, subject) ?? new NetlinkError(subject, ERRNO.ENODATA, "acknowledged without an answer");
      }
    }
  }

  /** Reads a whole table (NLM_F.REQUEST | NLM_F.DUMP); `decode` returns undefined for what is not wanted. A table that changed meanwhile
   *  is read again. @throws {NetlinkError} */
  dump<Item>(writer: MessageWriter, subject: Subject, decode: (message: Message) => Item | undefined): Item[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const items: Item[] = [];
      if (this.#dumpOnce(writer, subject, decode, items)) return items;
    }
    throw new NetlinkError(subject, ERRNO.EAGAIN, "the table kept changing while it was read");
  }

  #dumpOnce<Item>(
    writer: MessageWriter,
    subject: Subject,
    decode: (message: Message) => Item | undefined,
    into: Item[],
  ): boolean {
    const sequence = this.#send(writer, subject);
    let consistent = true;
    for (;;) {
      for (const message of this.#receive(subject)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F.DUMP_INTR) !== 0) consistent = false;
        if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
          const refusal = readRefusal(message, subject);
          if (refusal) throw refusal;
          return consistent;
        }
        const item = decode(message);
        if (item !== undefined) into.push(item);
      }
    }
  }

  #send(writer: MessageWriter, subject: Subject): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const message = writer.finish(this.#sequence);
    if (sendTo(this.#open(), message, message.length, 0, null) === undefined) {
      throw new NetlinkError(subject, ERRNO.EAGAIN, "the request could not be sent");
    }
    return this.#sequence;
  }

  /** The messages of one datagram from the kernel; others can send to this socket too, and are ignored. */
  #receive(subject: Subject): Iterable<Message> {
    const length = recvFrom(this.#open(), this.#buffer, MSG.TRUNC, this.#sender);
    if (length === undefined) throw new NetlinkError(subject, ERRNO.ETIMEDOUT, "the kernel did not answer");
    if (this.#senderView.getUint32(SOCKADDR_NL.pid, true) !== 0) return [];
    if (length > this.#buffer.length) throw new NetlinkError(subject, ERRNO.EMSGSIZE, `the answer has ${length} bytes`);
    return readMessages(this.#view, length);
  }

  #open(): number {
    if (this.#fd === null) throw new TypeError("the netlink socket is closed");
    return this.#fd;
  }
}

// Kernels before 4.3, 4.12 and 4.20 lack them: errors then have no words, and dumps are filtered by the reader only.
function enable(fd: number, option: number): void {
  try {
    setIntOption(fd, SOL_NETLINK, option, 1, `netlink option ${option}`);
  } catch (thrown) {
    if (!isSystemError(thrown, "ENOPROTOOPT")) throw thrown;
  }
}
