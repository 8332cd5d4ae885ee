// SPDX-License-Identifier: Apache-2.0
// Sockets of the families Bun does not know (netlink, packet) and options it does not set. A socket belongs to the network namespace its
// thread was in when it was made.
import { checked } from "../errno.ts";
import { allocate, type Bytes, OutParameter } from "../ffi.ts";
import { transferred } from "./fd.ts";
import { AF } from "./sockaddr.ts";
import { libc } from "./symbols.ts";

/** bits/socket_type.h */
export const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, SEQPACKET: 5, NONBLOCK: 0o4000 } as const;
const SOCK_CLOEXEC = 0o2000000;
/** bits/socket.h */
export const MSG = { PEEK: 2, TRUNC: 0x20, DONTWAIT: 0x40, NOSIGNAL: 0x4000 } as const;
/** asm-generic/socket.h */
export const SOL_SOCKET = 1;
export const SO = {
  ERROR: 4,
  SNDBUF: 7,
  RCVBUF: 8,
  PRIORITY: 12,
  PEERCRED: 17,
  RCVTIMEO: 20,
  SNDBUFFORCE: 32,
  RCVBUFFORCE: 33,
  MARK: 36,
  MEMINFO: 55,
} as const;

/** @throws {SystemError} */
export function socket(family: number, type: number, protocol: number): number {
  return checked(libc().symbols.socket(family, type | SOCK_CLOEXEC, protocol), "socket", `family ${family}`);
}

/** Two connected unix sockets. @throws {SystemError} */
export function socketPair(type: number): [number, number] {
  const pair = allocate(8);
  checked(libc().symbols.socketpair(AF.UNIX, type | SOCK_CLOEXEC, 0, pair), "socketpair");
  const view = new DataView(pair.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

/** @throws {SystemError} `object` names the address in the text */
export function bind(fd: number, address: Bytes, object = `fd ${fd}`): void {
  checked(libc().symbols.bind(fd, address, address.length), "bind", object);
}

/** @throws {SystemError} */
export function connect(fd: number, address: Bytes, object = `fd ${fd}`): void {
  checked(libc().symbols.connect(fd, address, address.length), "connect", object);
}

/** The address the socket is bound to, as C lays it out. @throws {SystemError} */
export function getsockname(fd: number): Bytes {
  const address = allocate(128); // struct sockaddr_storage
  const length = new OutParameter();
  length.u32 = address.length;
  checked(libc().symbols.getsockname(fd, address, length.bytes), "getsockname", `fd ${fd}`);
  return address.slice(0, length.u32);
}

/** Bytes sent, undefined when it would block. @throws {SystemError} */
export function sendTo(
  fd: number,
  bytes: Bytes,
  length: number,
  flags: number,
  to: Bytes | null,
  object = `fd ${fd}`,
): number | undefined {
  const send = () => Number(libc().symbols.sendto(fd, bytes, length, flags | MSG.NOSIGNAL, to, to === null ? 0 : to.length));
  return transferred(send, "sendto", object);
}

/** Bytes received (with MSG.TRUNC: the datagram's whole length), undefined when it would block or timed out. @throws {SystemError} */
export function recv(fd: number, into: Bytes, flags = 0): number | undefined {
  return transferred(() => Number(libc().symbols.recvfrom(fd, into, into.length, flags, null, null)), "recv", `fd ${fd}`);
}

/** The same, and who sent it: `from` is filled as far as it reaches. @throws {SystemError} */
export function recvFrom(fd: number, into: Bytes, flags: number, from: Bytes): number | undefined {
  const length = new OutParameter();
  const receive = () => {
    length.u32 = from.length;
    return Number(libc().symbols.recvfrom(fd, into, into.length, flags, from, length.bytes));
  };
  return transferred(receive, "recvfrom", `fd ${fd}`);
}

/** @throws {SystemError} */
export function setOption(fd: number, level: number, option: number, value: Bytes, name: string): void {
  checked(libc().symbols.setsockopt(fd, level, option, value, value.length), `setsockopt ${name}`, `fd ${fd}`);
}

/** @throws {SystemError} */
export function setIntOption(fd: number, level: number, option: number, value: number, name: string): void {
  const bytes = allocate(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  setOption(fd, level, option, bytes, name);
}

/** @throws {SystemError} */
export function getOption(fd: number, level: number, option: number, size: number, name: string): Bytes {
  const value = allocate(size);
  const length = new OutParameter();
  length.u32 = size;
  checked(libc().symbols.getsockopt(fd, level, option, value, length.bytes), `getsockopt ${name}`, `fd ${fd}`);
  return value;
}

/** struct timeval, bits/types/struct_timeval.h, 64-bit machines. */
export const TIMEVAL = { size: 16, seconds: 0, microseconds: 8 } as const;

/** A blocking receive gives up after `ms` (then `recv` returns undefined). @throws {SystemError} */
export function setReceiveTimeout(fd: number, ms: number): void {
  const value = allocate(TIMEVAL.size);
  const view = new DataView(value.buffer);
  view.setBigInt64(TIMEVAL.seconds, BigInt(Math.floor(ms / 1000)), true);
  view.setBigInt64(TIMEVAL.microseconds, BigInt((ms % 1000) * 1000), true);
  setOption(fd, SOL_SOCKET, SO.RCVTIMEO, value, "SO_RCVTIMEO");
}

/** struct ucred, bits/socket.h */
export const UCRED = { size: 12, pid: 0, uid: 4, gid: 8 } as const;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who connected to a unix stream socket, as the kernel noted it. @throws {SystemError} */
export function peerCredentials(fd: number): PeerCredentials {
  const value = getOption(fd, SOL_SOCKET, SO.PEERCRED, UCRED.size, "SO_PEERCRED");
  const view = new DataView(value.buffer);
  return {
    pid: view.getInt32(UCRED.pid, true),
    uid: view.getUint32(UCRED.uid, true),
    gid: view.getUint32(UCRED.gid, true),
  };
}
