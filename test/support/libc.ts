// SPDX-License-Identifier: Apache-2.0
// The few libc calls the lab needs to open sockets inside other network namespaces from the test process itself: no helper
// process to start, no race with its start. Kept apart from `native/`, so that a test never trusts the code it tests.
import { dlopen, read } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const { symbols: c } = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: "ptr" }, // int *__errno_location(void)
  setns: { args: ["i32", "i32"], returns: "i32" }, // int setns(int fd, int nstype)
  socket: { args: ["i32", "i32", "i32"], returns: "i32" }, // int socket(int domain, int type, int protocol)
  bind: { args: ["i32", "buffer", "u32"], returns: "i32" }, // int bind(int, const struct sockaddr *, socklen_t)
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" }, // int setsockopt(int, int, int, const void *, socklen_t)
  send: { args: ["i32", "buffer", "usize", "i32"], returns: "i64" }, // ssize_t send(int, const void *, size_t, int)
  sendto: { args: ["i32", "buffer", "usize", "i32", "buffer", "u32"], returns: "i64" }, // ssize_t sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t)
  recv: { args: ["i32", "buffer", "usize", "i32"], returns: "i64" }, // ssize_t recv(int, void *, size_t, int)
  poll: { args: ["buffer", "u64", "i32"], returns: "i32" }, // int poll(struct pollfd *, nfds_t, int)
  open: { args: ["cstring", "i32"], returns: "i32" }, // int open(const char *, int, ...)
  ioctl: { args: ["i32", "u64", "buffer"], returns: "i32" }, // int ioctl(int, unsigned long, ...)
  read: { args: ["i32", "buffer", "usize"], returns: "i64" }, // ssize_t read(int, void *, size_t)
  write: { args: ["i32", "buffer", "usize"], returns: "i64" }, // ssize_t write(int, const void *, size_t)
  if_nametoindex: { args: ["cstring"], returns: "u32" }, // unsigned int if_nametoindex(const char *)
});
const CLONE_NEWNET = 0x40000000;
export const AF_PACKET = 17;
export const EAGAIN = 11;
const EINTR = 4;
const ENOBUFS = 105;

/** Memory C may read: never the small kind that the collector moves. */
export function stableBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** The value of a socket option. */
export function int32(value: number): Uint8Array<ArrayBuffer> {
  const bytes = stableBytes(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

function errno(): number {
  const location = c.__errno_location();
  return location === null ? 0 : read.i32(Number(location), 0);
}

function check(call: string, result: number | bigint): number {
  if (Number(result) < 0) throw new Error(`${call} failed with errno ${errno()}`);
  return Number(result);
}

/** Runs `open`, which must be synchronous, with this thread inside the network namespace behind `netnsPath`.
 *  Sockets made there stay there. */
export function inNetns<Result>(netnsPath: string, open: () => Result): Result {
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(netnsPath, "r");
  try {
    check(`setns ${netnsPath}`, c.setns(there, CLONE_NEWNET));
    try {
      return open();
    } finally {
      // Going on in a foreign namespace would make every later test lie.
      if (c.setns(home, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(there);
    closeSync(home);
  }
}

/** Like `socket(2)`, non-blocking and closed on exec. */
export function openSocket(domain: number, type: number, protocol: number): number {
  const SOCK_NONBLOCK_CLOEXEC = 0o2004000;
  return check("socket", c.socket(domain, type | SOCK_NONBLOCK_CLOEXEC, protocol));
}

export function bindSocket(fd: number, address: Uint8Array): void {
  check("bind", c.bind(fd, address, address.byteLength));
}

export function setSocketOption(fd: number, level: number, name: number, value: Uint8Array): void {
  check(`setsockopt ${level}/${name}`, c.setsockopt(fd, level, name, value, value.byteLength));
}

/** Sends one packet; false when the queue is full. */
export function sendPacket(fd: number, packet: Uint8Array): boolean {
  const sent = c.send(fd, packet, packet.byteLength, 0);
  if (Number(sent) >= 0) return true;
  const number = errno();
  if (number === EAGAIN || number === ENOBUFS || number === EINTR) return false;
  throw new Error(`send of ${packet.byteLength} bytes failed with errno ${number}`);
}

/** Sends one packet to a socket address; false when the queue is full or nobody listens (a refused port is not our failure). */
export function sendPacketTo(fd: number, packet: Uint8Array, address: Uint8Array): boolean {
  return Number(c.sendto(fd, packet, packet.byteLength, 0, address, address.byteLength)) >= 0;
}

/** Opens the existing tap `name` of the namespace this thread is in, as a virtual machine does; non-blocking, bare frames. */
export function openTap(name: string): number {
  const O_RDWR_NONBLOCK_CLOEXEC = 0o2004002;
  const TUNSETIFF = 0x400454ca; // linux/if_tun.h
  const IFF_TAP_NO_PI = 0x1002;
  const fd = check("open /dev/net/tun", c.open(Buffer.from("/dev/net/tun\0"), O_RDWR_NONBLOCK_CLOEXEC));
  // struct ifreq, linux/if.h: char name[16], short flags, 40 bytes in all
  const request = stableBytes(40);
  request.set(new TextEncoder().encode(name));
  new DataView(request.buffer).setUint16(16, IFF_TAP_NO_PI, true);
  check(`TUNSETIFF ${name}`, c.ioctl(fd, TUNSETIFF, request));
  return fd;
}

/** Writes one frame to a tap; false when its queue is full. */
export function writeFrame(fd: number, frame: Uint8Array): boolean {
  if (Number(c.write(fd, frame, frame.byteLength)) >= 0) return true;
  const number = errno();
  if (number === EAGAIN || number === ENOBUFS || number === EINTR) return false;
  throw new Error(`write of a frame failed with errno ${number}`);
}

/** Bytes of the next frame of a tap put into `into`, or -1 when there is none now. */
export function readFrame(fd: number, into: Uint8Array): number {
  const got = Number(c.read(fd, into, into.byteLength));
  if (got >= 0) return got;
  const number = errno();
  if (number === EAGAIN || number === EINTR) return -1;
  throw new Error(`read of a frame failed with errno ${number}`);
}

/** Bytes of the next packet put into `into`, or -1 when there is none now. */
export function receivePacket(fd: number, into: Uint8Array): number {
  const got = Number(c.recv(fd, into, into.byteLength, 0));
  if (got >= 0) return got;
  const number = errno();
  if (number === EAGAIN || number === EINTR) return -1;
  throw new Error(`recv failed with errno ${number}`);
}

/** Blocks this thread until one of `fds` has something to read, or for `timeoutMs`. */
export function waitReadable(fds: readonly number[], timeoutMs: number): void {
  // struct pollfd, bits/poll.h: int fd, short events, short revents
  const polled = stableBytes(8 * fds.length);
  const view = new DataView(polled.buffer);
  for (const [i, fd] of fds.entries()) {
    view.setInt32(8 * i, fd, true);
    view.setInt16(8 * i + 4, 1, true); // POLLIN
  }
  c.poll(polled, fds.length, timeoutMs);
}

/** Index of a link of the namespace this thread is in. */
export function linkIndex(name: string): number {
  const index = c.if_nametoindex(Buffer.from(`${name}\0`));
  if (index === 0) throw new Error(`no link '${name}' here`);
  return index;
}

/** Of a link of this namespace. struct sockaddr_ll, linux/if_packet.h: u16 family, be16 protocol, int ifindex, u16 hatype, u8 pkttype, u8 halen,
 *  u8 addr[8] */
export function linkAddress(name: string, protocol: number): Uint8Array {
  const address = stableBytes(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, linkIndex(name), true);
  return address;
}

export function closeSocket(fd: number): void {
  closeSync(fd);
}
