// SPDX-License-Identifier: Apache-2.0
// Socket addresses as C wants them. Families in host order, ports and addresses in network order.
import { allocate, type Bytes } from "../ffi.ts";

/** bits/socket.h */
export const AF = { UNSPEC: 0, UNIX: 1, INET: 2, BRIDGE: 7, INET6: 10, NETLINK: 16, PACKET: 17 } as const;

/** struct sockaddr_in, netinet/in.h */
export const SOCKADDR_IN = { size: 16, port: 2, address: 4 } as const;
/** struct sockaddr_in6, netinet/in.h */
export const SOCKADDR_IN6 = { size: 28, port: 2, address: 8, scope: 24 } as const;
/** struct sockaddr_un, sys/un.h */
export const SOCKADDR_UN = { size: 110, path: 2 } as const;
/** struct sockaddr_nl, linux/netlink.h */
export const SOCKADDR_NL = { size: 12, pid: 4, groups: 8 } as const;
/** struct sockaddr_ll, linux/if_packet.h */
export const SOCKADDR_LL = { size: 20, protocol: 2, ifindex: 4, halen: 11, address: 12 } as const;

/** `address` has 4 or 16 bytes; `scope` is the interface of a link-local IPv6 one. */
export function inetAddress(address: Uint8Array, port: number, scope = 0): Bytes {
  const v6 = address.length === 16;
  const layout = v6 ? SOCKADDR_IN6 : SOCKADDR_IN;
  const bytes = allocate(layout.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v6 ? AF.INET6 : AF.INET, true);
  view.setUint16(layout.port, port);
  bytes.set(address, layout.address);
  if (v6) view.setUint32(SOCKADDR_IN6.scope, scope, true);
  return bytes;
}

/** A path, or an abstract name with a leading `@`. @throws {RangeError} too long for the kernel (107 bytes) */
export function unixAddress(path: string): Bytes {
  const text = Buffer.from(path, "utf8");
  if (text.length === 0 || text.length > SOCKADDR_UN.size - SOCKADDR_UN.path - 1) {
    throw new RangeError(`a socket path has 1 to 107 bytes, '${path}' has ${text.length}`);
  }
  const abstract = path.startsWith("@");
  const bytes = allocate(SOCKADDR_UN.path + text.length + (abstract ? 0 : 1)); // an abstract name ends with the length, a path with NUL
  new DataView(bytes.buffer).setUint16(0, AF.UNIX, true);
  bytes.set(text, SOCKADDR_UN.path);
  if (abstract) bytes[SOCKADDR_UN.path] = 0;
  return bytes;
}

/** The kernel is port 0; `groups` are the first 32 multicast groups as bits. */
export function netlinkAddress(groups = 0): Bytes {
  const bytes = allocate(SOCKADDR_NL.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF.NETLINK, true);
  view.setUint32(SOCKADDR_NL.groups, groups, true);
  return bytes;
}

/** A packet socket on one interface; `protocol` is an ethertype. */
export function packetAddress(ifindex: number, protocol: number): Bytes {
  const bytes = allocate(SOCKADDR_LL.size);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF.PACKET, true);
  view.setUint16(SOCKADDR_LL.protocol, protocol);
  view.setInt32(SOCKADDR_LL.ifindex, ifindex, true);
  return bytes;
}
