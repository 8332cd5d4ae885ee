// SPDX-License-Identifier: Apache-2.0
// File descriptors: opening, closing, waiting, telling what lies behind one. A descriptor is a plain number here; the class that opened it
// owns it.
import { close as closeFile } from "node:fs";
import { checked, ERRNO, errno, SystemError } from "../errno.ts";
import { allocate, type Bytes } from "../ffi.ts";
import { libc } from "./symbols.ts";

/** asm-generic/fcntl.h; O_CLOEXEC is always added. */
export const O = { RDONLY: 0, WRONLY: 1, RDWR: 2, NONBLOCK: 0o4000, PATH: 0o10000000 } as const;
const O_CLOEXEC = 0o2000000;

/** @throws {SystemError} */
export function open(path: string, flags: number = O.RDONLY): number {
  return checked(libc().symbols.open(path, flags | O_CLOEXEC, 0), "open", path);
}

/** Errors are of no use to anyone here: the descriptor is gone in any case (close(2)). */
export function close(fd: number): void {
  libc().symbols.close(fd);
}

const F_DUPFD_CLOEXEC = 1030; // fcntl.h

/** A second descriptor for the same open file, not inherited by children. @throws {SystemError} */
export function duplicate(fd: number): number {
  return checked(libc().symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl F_DUPFD_CLOEXEC", `fd ${fd}`);
}

/** Closes on Bun's thread pool. For a descriptor whose close waits for the kernel: a packet socket's takes 8 to 25 ms. */
export function closeInBackground(fd: number): void {
  closeFile(fd, () => {}); // its error is of as little use as that of close
}

/** Bytes read, 0 at the end, undefined when it would block. @throws {SystemError} */
export function read(fd: number, into: Bytes): number | undefined {
  return transferred(() => Number(libc().symbols.read(fd, into, into.length)), "read", `fd ${fd}`);
}

/** Bytes written, undefined when it would block. @throws {SystemError} */
export function write(fd: number, bytes: Bytes): number | undefined {
  return transferred(() => Number(libc().symbols.write(fd, bytes, bytes.length)), "write", `fd ${fd}`);
}

/** Repeats a call that a signal interrupted; a would-block becomes undefined, other errors are thrown. */
export function transferred(transfer: () => number, call: string, object: string): number | undefined {
  for (;;) {
    const result = transfer();
    if (result >= 0) return result;
    const code = errno();
    if (code === ERRNO.EAGAIN) return undefined;
    if (code !== ERRNO.EINTR) throw new SystemError(call, object, code);
  }
}

const F_GETFL = 3; // fcntl.h
const F_SETFL = 4;

/** Bun's event loop wants this of every descriptor given to it. @throws {SystemError} */
export function setNonBlocking(fd: number): void {
  const flags = checked(libc().symbols.fcntl(fd, F_GETFL, 0), "fcntl F_GETFL", `fd ${fd}`);
  checked(libc().symbols.fcntl(fd, F_SETFL, flags | O.NONBLOCK), "fcntl F_SETFL", `fd ${fd}`);
}

const LOCK_EX_NB = 2 | 4; // sys/file.h

/** Takes the exclusive lock of an open file; it is held until the descriptor is closed. False: somebody else has it. @throws {SystemError} */
export function tryLock(fd: number): boolean {
  const locked = transferred(() => libc().symbols.flock(fd, LOCK_EX_NB), "flock", `fd ${fd}`);
  return locked !== undefined;
}

/** poll.h */
export const POLL = { IN: 1, OUT: 4, ERR: 8, HUP: 16 } as const;
/** struct pollfd, poll.h: fd, events, revents. */
export const POLLFD = { size: 8, fd: 0, events: 4, revents: 6 } as const;

/** Waits until `fd` is ready for one of `events` (POLL bits); the ready ones, 0 after `timeoutMs`. Blocks: not for the main thread. @throws {SystemError} */
export function poll(fd: number, events: number, timeoutMs: number): number {
  const entry = allocate(POLLFD.size);
  const view = new DataView(entry.buffer);
  view.setInt32(POLLFD.fd, fd, true);
  view.setInt16(POLLFD.events, events, true);
  const ready = transferred(() => libc().symbols.poll(entry, 1, timeoutMs), "poll", `fd ${fd}`);
  return ready ? view.getInt16(POLLFD.revents, true) : 0;
}

/** struct statx, linux/stat.h: the same on every architecture, unlike struct stat. */
export const STATX = { size: 256, mode: 28, ino: 32, devMajor: 136, devMinor: 140 } as const;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

export interface FileId {
  /** major * 2^20 + minor */
  readonly device: number;
  readonly inode: number;
}

/** What lies behind a descriptor, also one opened with O.PATH. @throws {SystemError} */
export function fstat(fd: number): FileId & { readonly mode: number } {
  const buffer = allocate(STATX.size);
  checked(libc().symbols.statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, buffer), "statx", `fd ${fd}`);
  const view = new DataView(buffer.buffer);
  return {
    device: view.getUint32(STATX.devMajor, true) * 2 ** 20 + view.getUint32(STATX.devMinor, true),
    inode: Number(view.getBigUint64(STATX.ino, true)),
    mode: view.getUint16(STATX.mode, true),
  };
}

/** struct statfs, asm-generic/statfs.h, 64-bit machines. */
export const STATFS = { size: 120, type: 0 } as const;

/** The file system's magic number (linux/magic.h). @throws {SystemError} */
export function fileSystemType(fd: number): number {
  const buffer = allocate(STATFS.size);
  checked(libc().symbols.fstatfs(fd, buffer), "fstatfs", `fd ${fd}`);
  return Number(new DataView(buffer.buffer).getBigUint64(STATFS.type, true));
}

/** An ioctl whose argument is a structure or nothing. Returns C's result. @throws {SystemError} */
export function ioctl(fd: number, request: number, argument: Bytes | null, name: string, object = `fd ${fd}`): number {
  return checked(libc().symbols.ioctl(fd, request, argument), `ioctl ${name}`, object);
}
