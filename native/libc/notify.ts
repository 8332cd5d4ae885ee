// SPDX-License-Identifier: Apache-2.0
// Telling the service manager how we are: sd_notify(3), one datagram to the unix socket it named.
import { bytesOf } from "../ffi.ts";
import { close } from "./fd.ts";
import { AF, unixAddress } from "./sockaddr.ts";
import { SOCK, sendTo, socket } from "./socket.ts";

/** Sends `READY=1`, `WATCHDOG=1`, `STATUS=…` lines to `socketPath` (the value of NOTIFY_SOCKET; a leading `@` is an abstract name).
 *  False: the manager's queue is full, the message is lost. @throws {SystemError} nobody listens there */
export function notifyServiceManager(socketPath: string, lines: readonly string[]): boolean {
  const address = unixAddress(socketPath);
  const message = bytesOf(Buffer.from(lines.join("\n"), "utf8"));
  const fd = socket(AF.UNIX, SOCK.DGRAM | SOCK.NONBLOCK, 0);
  try {
    return sendTo(fd, message, message.length, 0, address) !== undefined;
  } finally {
    close(fd);
  }
}
