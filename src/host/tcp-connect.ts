// SPDX-License-Identifier: Apache-2.0
// Opening a TCP connection. Bun's own connect reports every failure as "connection refused", so the socket is made here and handed to Bun
// while it connects; the first moment it is writable the kernel says how it went.
import type { Socket } from "bun";
import { errnoName, SystemError } from "../../native/errno.ts";
import { close } from "../../native/libc/fd.ts";
import { AF, inetAddress } from "../../native/libc/sockaddr.ts";
import { connect, getOption, SO, SOCK, SOL_SOCKET, socket } from "../../native/libc/socket.ts";
import { formatIpPort } from "../net/endpoint.ts";
import { type Ip, ipBytes } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errnoWords, guarded, type StreamSlot, streamHandler, TcpStream } from "./tcp-stream.ts";

/** @throws {Error} `dial tcp 10.0.0.2:6783: connect: connection refused`, `dial tcp 10.0.0.2:6783: i/o timeout`, or the signal's reason */
export async function connectTcp(ip: Ip, port: number, clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<TcpStream> {
  signal.throwIfAborted();
  const name = formatIpPort(ip, port);
  const fd = beginConnect(ip, port, name);
  const outcome = Promise.withResolvers<TcpStream>();
  outcome.promise.catch(() => {}); // it may fail before anybody awaits it; whoever does gets the reason then
  const failed = (why: string): void => outcome.reject(new Error(`dial tcp ${name}: ${why}`));
  const slot: StreamSlot = { stream: undefined };
  const handler = streamHandler(() => {});
  const writable = (socket: Socket<StreamSlot>): void => {
    if (slot.stream) {
      slot.stream.drained();
      return;
    }
    const code = socketError(fd);
    if (code !== 0) failed(`connect: ${errnoWords(errnoName(code))}`);
    else slot.stream = new TcpStream(socket, clock, fd);
    if (slot.stream) outcome.resolve(slot.stream);
  };
  const connecting = await Bun.connect<StreamSlot>({
    fd,
    data: slot,
    socket: {
      ...handler,
      drain: guarded(writable),
      close(socket, error) {
        if (slot.stream) handler.close?.(socket, error);
        else failed(`connect: ${error && "code" in error ? errnoWords(String(error.code)) : "connection refused"}`);
      },
    },
  });
  const abort = (): void => outcome.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  using _timeout = clock.after(timeoutMs, () => failed("i/o timeout"));
  try {
    return await outcome.promise;
  } catch (thrown) {
    connecting.terminate();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function beginConnect(ip: Ip, port: number, name: string): number {
  const address = ipBytes(ip);
  const fd = socket(address.length === 16 ? AF.INET6 : AF.INET, SOCK.STREAM | SOCK.NONBLOCK, 0);
  try {
    connect(fd, inetAddress(address, port), name);
  } catch (thrown) {
    if (thrown instanceof SystemError && thrown.code === "EINPROGRESS") return fd;
    close(fd);
    if (thrown instanceof SystemError) {
      throw new Error(`dial tcp ${name}: connect: ${errnoWords(thrown.code)}`, { cause: thrown });
    }
    throw thrown;
  }
  return fd;
}

/** Reads and clears the kernel's verdict; 0 when the connection stands. */
function socketError(fd: number): number {
  return new DataView(getOption(fd, SOL_SOCKET, SO.ERROR, 4, "SO_ERROR").buffer).getInt32(0, true);
}
