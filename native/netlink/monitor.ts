// SPDX-License-Identifier: Apache-2.0
// What the kernel tells unasked: changes of links, addresses, routes, rules, neighbours, queueing disciplines, settings, and of its packet filter. A separate, non-blocking socket
// that Bun's event loop reads; it belongs to the namespace it was opened in.
import { connect, type Socket } from "bun";
import { isSystemError } from "../errno.ts";
import { close } from "../libc/fd.ts";
import { AF, netlinkAddress } from "../libc/sockaddr.ts";
import { bind, getOption, SO, SOCK, SOL_SOCKET, setIntOption, socket } from "../libc/socket.ts";
import { type Message, readMessages } from "./codec.ts";
import { NETLINK_NETFILTER, NETLINK_NO_ENOBUFS, NETLINK_ROUTE, SOL_NETLINK } from "./socket.ts";

declare module "bun" {
  // Documented and working in Bun 1.4.5, but left out of the overloads in bun-types.
  function connect<Data = undefined>(options: FdSocketOptions<Data>): Promise<Socket<Data>>;
}

/** enum rtnetlink_groups, linux/rtnetlink.h */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  TC: 4,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
  IPV6_RULE: 19,
  IPV4_NETCONF: 24,
  IPV6_NETCONF: 25,
} as const;
export type MonitorGroup = keyof typeof RTNLGRP;
/** enum nfnetlink_groups, linux/netfilter/nfnetlink.h */
export const NFNLGRP = { NFTABLES: 7 } as const;

const RECEIVE_BUFFER_BYTES = 1 << 20; // a burst of some thousand changes
/** Words of SO_MEMINFO and the place of the drop counter, linux/sock_diag.h. */
export const SK_MEMINFO = { vars: 9, drops: 8 } as const;

export interface MonitorEvents {
  /** One notification; the message is valid during the call. */
  message(message: Message): void;
  /** Notifications were lost, or none will come any more: whoever keeps a picture of the kernel reads it again. */
  lost(): void;
}

export class Monitor implements Disposable {
  readonly #fd: number;
  readonly #events: MonitorEvents;
  #socket: Socket<undefined> | null = null;
  #closed = false;
  #drops = 0;

  private constructor(fd: number, events: MonitorEvents) {
    this.#fd = fd;
    this.#events = events;
  }

  /** Changes from now on are told once the promise has resolved. The socket is made before this function returns, so it may be called inside
   *  `enterNetns`. @throws {SystemError} */
  static async open(groups: readonly MonitorGroup[], events: MonitorEvents): Promise<Monitor> {
    return await Monitor.#on(openSocket(NETLINK_ROUTE, bitsOf(groups.map((group) => RTNLGRP[group]))), events);
  }

  /** The same of the packet filter's tables. undefined: this kernel has none. @throws {SystemError} */
  static async openFilter(events: MonitorEvents): Promise<Monitor | undefined> {
    let fd: number;
    try {
      fd = openSocket(NETLINK_NETFILTER, bitsOf([NFNLGRP.NFTABLES]));
    } catch (thrown) {
      if (isSystemError(thrown, "EPROTONOSUPPORT")) return undefined;
      throw thrown;
    }
    return await Monitor.#on(fd, events);
  }

  static async #on(fd: number, events: MonitorEvents): Promise<Monitor> {
    const monitor = new Monitor(fd, events);
    try {
      await monitor.#listen();
      return monitor;
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#socket?.terminate();
    this.#socket = null;
  }

  async #listen(): Promise<void> {
    this.#socket = await connect<undefined>({
      fd: this.#fd,
      socket: {
        data: (_socket, chunk) => this.#receive(chunk),
        close: () => {
          if (!this.#closed) this.#events.lost();
          this.#closed = true;
        },
      },
    });
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (const message of readMessages(view, chunk.byteLength)) this.#events.message(message);
    // A full queue shows as ENOBUFS, on which Bun would close the socket; so that is off (NETLINK_NO_ENOBUFS) and the drops are counted.
    const drops = this.#closed ? this.#drops : countDrops(this.#fd);
    if (drops !== this.#drops) this.#events.lost();
    this.#drops = drops;
  }
}

function countDrops(fd: number): number {
  const words = getOption(fd, SOL_SOCKET, SO.MEMINFO, 4 * SK_MEMINFO.vars, "SO_MEMINFO");
  return new DataView(words.buffer).getUint32(4 * SK_MEMINFO.drops, true);
}

function bitsOf(groups: readonly number[]): number {
  return groups.reduce((sum, group) => sum | (1 << (group - 1)), 0);
}

function openSocket(protocol: number, groupBits: number): number {
  const fd = socket(AF.NETLINK, SOCK.RAW | SOCK.NONBLOCK, protocol);
  try {
    setIntOption(fd, SOL_SOCKET, SO.RCVBUFFORCE, RECEIVE_BUFFER_BYTES, "SO_RCVBUFFORCE");
    setIntOption(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1, "NETLINK_NO_ENOBUFS");
    bind(fd, netlinkAddress(groupBits), "netlink groups");
    return fd;
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
}
