// SPDX-License-Identifier: Apache-2.0
// Many datagrams with one system call: sendmmsg(2) and recvmmsg(2) over structures that are made once and filled in again and again.
import type { Pointer } from "bun:ffi";
import { errno } from "../errno.ts";
import { Arena, addressIn, type Block, writeWord } from "../ffi.ts";
import { libc } from "./symbols.ts";

/** struct mmsghdr, bits/socket.h, 64-bit machines: a struct msghdr and the length that was transferred. */
export const MMSGHDR = {
  size: 64,
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
  length: 56,
} as const;
/** struct iovec, bits/types/struct_iovec.h */
export const IOVEC = { size: 16, base: 0, length: 8 } as const;
/** struct cmsghdr, bits/socket.h; the value follows it. */
export const CMSGHDR = { size: 16, length: 0, level: 8, type: 12 } as const;
/** CMSG_SPACE of a value of at most eight bytes. */
const CONTROL_BYTES = 24;

/** `count` messages of one piece each, with room for one small control value. */
export class Messages {
  readonly count: number;
  readonly #headers: Arena;
  readonly #iovecs: Arena;
  readonly #controls: Arena;
  readonly #address: Pointer;

  constructor(count: number) {
    this.count = count;
    this.#headers = Arena.allocate(count * MMSGHDR.size);
    this.#iovecs = Arena.allocate(count * IOVEC.size);
    this.#controls = Arena.allocate(count * CONTROL_BYTES);
    this.#address = addressIn(this.#headers, 0);
    for (let i = 0; i < count; i++) {
      writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.iov, this.#iovecs.base + i * IOVEC.size);
      writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.iovLength, 1);
      writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.control, this.#controls.base + i * CONTROL_BYTES);
    }
  }

  /** Message `i` is these bytes. They are not copied. */
  setPayload(i: number, block: Block, at: number, length: number): void {
    writeWord(this.#iovecs.view, i * IOVEC.size + IOVEC.base, block.base + at);
    writeWord(this.#iovecs.view, i * IOVEC.size + IOVEC.length, length);
  }
  /** Where it goes, or where the sender's address is to be written. */
  setName(i: number, block: Block, at: number, length: number): void {
    writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.name, block.base + at);
    this.#headers.view.setUint32(i * MMSGHDR.size + MMSGHDR.nameLength, length, true);
  }
  /** Takes its control value away. */
  clearControl(i: number): void {
    writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.controlLength, 0);
  }
  /** A control value of two bytes. */
  setControl16(i: number, level: number, type: number, value: number): void {
    this.#setControl(i, level, type, 2);
    this.#controls.view.setUint16(i * CONTROL_BYTES + CMSGHDR.size, value, true);
  }
  setControl32(i: number, level: number, type: number, value: number): void {
    this.#setControl(i, level, type, 4);
    this.#controls.view.setUint32(i * CONTROL_BYTES + CMSGHDR.size, value, true);
  }
  /** Room for what the kernel tells beside the message. Receiving uses it up. */
  offerControl(i: number): void {
    writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.controlLength, CONTROL_BYTES);
  }
  /** The control value of this kind that came with the message as a C int; undefined: none. */
  control32(i: number, level: number, type: number): number | undefined {
    const at = i * CONTROL_BYTES;
    const { view } = this.#controls;
    if (this.#headers.view.getUint32(i * MMSGHDR.size + MMSGHDR.controlLength, true) < CMSGHDR.size + 4) return undefined;
    if (view.getInt32(at + CMSGHDR.level, true) !== level || view.getInt32(at + CMSGHDR.type, true) !== type) return undefined;
    return view.getInt32(at + CMSGHDR.size, true);
  }
  /** Bytes that were sent or received. */
  lengthOf(i: number): number {
    return this.#headers.view.getUint32(i * MMSGHDR.size + MMSGHDR.length, true);
  }

  /** Sends messages first .. first + count - 1. How many went out, at least one; or the negative errno of the first of them. */
  send(fd: number, first: number, count: number, flags: number): number {
    const sent = libc().symbols.sendmmsg(fd, addressIn(this.#headers, first * MMSGHDR.size), count, flags);
    return sent < 0 ? -errno() : sent;
  }
  /** Fills the first messages, `limit` of them at most. How many came, at least one; or the negative errno. */
  receive(fd: number, flags: number, limit = this.count): number {
    const received = libc().symbols.recvmmsg(fd, this.#address, limit, flags, null);
    return received < 0 ? -errno() : received;
  }

  #setControl(i: number, level: number, type: number, valueBytes: number): void {
    const { view } = this.#controls;
    writeWord(view, i * CONTROL_BYTES + CMSGHDR.length, CMSGHDR.size + valueBytes);
    view.setInt32(i * CONTROL_BYTES + CMSGHDR.level, level, true);
    view.setInt32(i * CONTROL_BYTES + CMSGHDR.type, type, true);
    writeWord(this.#headers.view, i * MMSGHDR.size + MMSGHDR.controlLength, CONTROL_BYTES);
  }
}

/** Copies bytes between or within blocks; they may overlap. */
export function copyBytes(from: Block, fromAt: number, into: Block, intoAt: number, length: number): void {
  libc().symbols.memmove(addressIn(into, intoAt), addressIn(from, fromAt), length);
}
