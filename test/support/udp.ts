// SPDX-License-Identifier: Apache-2.0
// UDP sockets in any namespace: plain, broadcast, multicast of both families.

import type { Place } from "./lab-host.ts";
import {
  bindSocket,
  closeSocket,
  inNetns,
  int32,
  linkIndex,
  openSocket,
  receivePacket,
  sendPacketTo,
  setSocketOption,
  stableBytes,
} from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_BROADCAST = 6;
const SO_BINDTODEVICE = 25;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const IPPROTO_IP = 0;
const IP_MULTICAST_IF = 32;
const IP_ADD_MEMBERSHIP = 35;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_MULTICAST_IF = 17;
const IPV6_ADD_MEMBERSHIP = 20;

function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

/** The 16 bytes of an IPv6 address written without an embedded IPv4 one. */
function ipv6Bytes(text: string): Uint8Array {
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** struct sockaddr_in / sockaddr_in6, netinet/in.h. */
function socketAddress(address: string, port: number, scope: number): Uint8Array {
  const v6 = address.includes(":");
  const bytes = stableBytes(v6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  if (v6) {
    bytes.set(ipv6Bytes(address), 8);
    view.setUint32(24, scope, true);
  } else {
    bytes.set(ipv4Bytes(address), 4);
  }
  return bytes;
}

/** One UDP socket, bound to a port on all addresses of `device`; all it sends leaves there. */
export class UdpSocket implements Disposable {
  #fd: number | undefined;
  readonly #v6: boolean;
  readonly #index: number;
  readonly #buffer = stableBytes(65_536);

  constructor(place: Place, port: number, family: 4 | 6, device = "ethwe") {
    this.#v6 = family === 6;
    const opened = inNetns(place.netns, () => {
      const fd = openSocket(this.#v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
      const index = linkIndex(device);
      setSocketOption(fd, SOL_SOCKET, SO_BROADCAST, int32(1));
      const name = stableBytes(device.length + 1);
      name.set(new TextEncoder().encode(device));
      setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, name);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(4 << 20));
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(4 << 20));
      if (this.#v6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, int32(1));
      bindSocket(fd, socketAddress(this.#v6 ? "::" : "0.0.0.0", port, 0));
      // struct ip_mreqn, linux/in.h: multiaddr, address, ifindex
      const through = stableBytes(12);
      new DataView(through.buffer).setInt32(8, index, true);
      if (this.#v6) setSocketOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, int32(index));
      else setSocketOption(fd, IPPROTO_IP, IP_MULTICAST_IF, through);
      return { fd, index };
    });
    this.#fd = opened.fd;
    this.#index = opened.index;
  }

  #open(): number {
    if (this.#fd === undefined) throw new TypeError("this socket is closed");
    return this.#fd;
  }

  join(group: string): void {
    if (this.#v6) {
      // struct ipv6_mreq, linux/in6.h: multiaddr, ifindex
      const request = stableBytes(20);
      request.set(ipv6Bytes(group), 0);
      new DataView(request.buffer).setInt32(16, this.#index, true);
      setSocketOption(this.#open(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, request);
    } else {
      const request = stableBytes(12);
      request.set(ipv4Bytes(group), 0);
      new DataView(request.buffer).setInt32(8, this.#index, true);
      setSocketOption(this.#open(), IPPROTO_IP, IP_ADD_MEMBERSHIP, request);
    }
  }

  /** False when the kernel did not take it. */
  send(data: Uint8Array, address: string, port: number): boolean {
    const scoped = address.startsWith("fe80") || address.startsWith("ff02");
    return sendPacketTo(this.#open(), data, socketAddress(address, port, scoped ? this.#index : 0));
  }

  /** The next datagram, or undefined when there is none now. */
  receive(): Uint8Array | undefined {
    const length = receivePacket(this.#open(), this.#buffer);
    return length < 0 ? undefined : this.#buffer.slice(0, length);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSocket(this.#fd);
    this.#fd = undefined;
  }
}
