// SPDX-License-Identifier: Apache-2.0
// The sleeve's UDP sockets: one for each family, because each sets "don't fragment" in its own way.
import { isSystemError } from "../../native/errno.ts";
import { close } from "../../native/libc/fd.ts";
import { AF, inetAddress } from "../../native/libc/sockaddr.ts";
import { bind, SO, SOCK, SOL_SOCKET, setIntOption, socket } from "../../native/libc/socket.ts";
import { type Ip, ipBytes, isIpv6 } from "../net/ip.ts";

const SOCKET_BUFFER_BYTES = 8 << 20;
/** netinet/in.h, linux/in6.h, linux/udp.h */
const IPPROTO = { IP: 0, UDP: 17, IPV6: 41 } as const;
const IP_MTU_DISCOVER = 10;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const PMTUDISC_PROBE = 3; // don't fragment, whatever path MTU the kernel believes in
const UDP_GRO = 104;

/** -1 where the host has no such family or an address of the other was asked for. */
export interface SleeveSockets {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** In the calling thread's namespace. @throws {SystemError} EADDRINUSE */
export function openSleeveSockets(port: number, host: Ip | undefined): SleeveSockets {
  const fds = { ipv4: -1, ipv6: -1 };
  try {
    if (host === undefined || !isIpv6(host)) fds.ipv4 = openSocket(AF.INET, port, host ?? ("0.0.0.0" as Ip));
    if (host === undefined || isIpv6(host)) fds.ipv6 = openIpv6(port, host);
    return fds;
  } catch (thrown) {
    closeSleeveSockets(fds);
    throw thrown;
  }
}

export function closeSleeveSockets(fds: SleeveSockets): void {
  for (const fd of [fds.ipv4, fds.ipv6]) if (fd >= 0) close(fd);
}

function openIpv6(port: number, host: Ip | undefined): number {
  try {
    return openSocket(AF.INET6, port, host ?? ("::" as Ip));
  } catch (thrown) {
    if (host === undefined && isSystemError(thrown, "EAFNOSUPPORT", "EADDRNOTAVAIL")) return -1;
    throw thrown;
  }
}

function openSocket(family: number, port: number, host: Ip): number {
  const fd = socket(family, SOCK.DGRAM | SOCK.NONBLOCK, 0);
  try {
    const isV6 = family === AF.INET6;
    if (isV6) setIntOption(fd, IPPROTO.IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    const [level, option] = isV6 ? [IPPROTO.IPV6, IPV6_MTU_DISCOVER] : [IPPROTO.IP, IP_MTU_DISCOVER];
    setIntOption(fd, level, option, PMTUDISC_PROBE, "MTU_DISCOVER");
    setIntOption(fd, SOL_SOCKET, SO.RCVBUFFORCE, SOCKET_BUFFER_BYTES, "SO_RCVBUFFORCE");
    setIntOption(fd, SOL_SOCKET, SO.SNDBUFFORCE, SOCKET_BUFFER_BYTES, "SO_SNDBUFFORCE");
    offerGro(fd);
    bind(fd, inetAddress(ipBytes(host), port), `UDP ${host} port ${port}`);
    return fd;
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
}

// Kernels before 5.0 deliver one datagram at a time.
function offerGro(fd: number): void {
  try {
    setIntOption(fd, IPPROTO.UDP, UDP_GRO, 1, "UDP_GRO");
  } catch (thrown) {
    if (!isSystemError(thrown, "ENOPROTOOPT")) throw thrown;
  }
}
