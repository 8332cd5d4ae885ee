// SPDX-License-Identifier: Apache-2.0
// Sends path probes: from an ordinary UDP socket to the neighbour's fast datapath port, as if the VXLAN device had sent them. The neighbour's
// switch reflects them, ours keeps the answers (native/bpf/probe.h); nothing is ever received here.
//
//  offset size field, big-endian (RFC 7348 section 5, then the frame of native/bpf/maps.h)
//       0    1 flags     0x08: the VNI is valid
//       1    3 reserved
//       4    3 vni       destination short id << 12 | source short id
//       7    1 reserved
//       8   22 probe frame, padded with zeros
import { PROBE, PROBE_ETHERTYPE, PROBE_MAGIC, PROBE_REQUEST } from "../../native/bpf/maps.ts";
import { isSystemError } from "../../native/errno.ts";
import { allocate } from "../../native/ffi.ts";
import { kernelNanoseconds } from "../../native/libbpf/ktime.ts";
import { close } from "../../native/libc/fd.ts";
import { AF, inetAddress } from "../../native/libc/sockaddr.ts";
import { SOCK, sendTo, setIntOption, socket } from "../../native/libc/socket.ts";
import type { ShortId } from "../mesh/peer-name.ts";
import { type Ip, ipBytes, isIpv6 } from "../net/ip.ts";

export const VXLAN_HEADER_BYTES = 8;
/** Of an unpadded probe, from the UDP payload's beginning: with the Ethernet, IPv4 and UDP headers 72 bytes on the wire. */
export const PROBE_DATAGRAM_BYTES = VXLAN_HEADER_BYTES + PROBE.size;
const LARGEST_BYTES = 65_000;
const SOURCE_MAC_HEAD = 0x0200; // unicast, locally administered: the VXLAN device refuses others

// netinet/in.h, linux/in6.h
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_PROBE = 3; // don't fragment, whatever path MTU the kernel believes in

export interface Probe {
  readonly self: ShortId;
  readonly neighbour: ShortId;
  readonly sequence: number;
  /** Pads the inner frame, Ethernet header included. */
  readonly frameBytes?: number;
}

export class ProbeSocket implements Disposable {
  readonly #port: number;
  #fds: Map<number, number>;
  readonly #datagram = allocate(LARGEST_BYTES);
  readonly #view = new DataView(this.#datagram.buffer);

  private constructor(port: number, fds: Map<number, number>) {
    this.#port = port;
    this.#fds = fds;
  }
  /** In the calling thread's namespace; `port` is where all hosts have their fast datapath. @throws {SystemError} */
  static open(port: number): ProbeSocket {
    const fds = new Map<number, number>();
    try {
      fds.set(AF.INET, socket(AF.INET, SOCK.DGRAM | SOCK.NONBLOCK, 0));
      setIntOption(fds.get(AF.INET)!, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE, "IP_MTU_DISCOVER"); // set above
      openIpv6(fds);
      return new ProbeSocket(port, fds);
    } catch (thrown) {
      for (const fd of fds.values()) close(fd);
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    for (const fd of this.#fds.values()) close(fd);
    this.#fds = new Map();
  }

  /** False: it could not be sent, which is to be taken like a lost one. `frameBytes` pads the inner frame, Ethernet header included. */
  send(probe: Probe & { readonly address: Ip }): boolean {
    const fd = this.#fds.get(isIpv6(probe.address) ? AF.INET6 : AF.INET);
    if (fd === undefined) return false;
    const length = VXLAN_HEADER_BYTES + probeFrameBytes(probe, LARGEST_BYTES - VXLAN_HEADER_BYTES);
    this.#view.setUint32(0, 0x08 << 24);
    this.#view.setUint32(4, vniOf(probe) * 2 ** 8);
    writeProbe(this.#view, VXLAN_HEADER_BYTES, probe.sequence);
    try {
      return sendTo(fd, this.#datagram, length, 0, inetAddress(ipBytes(probe.address), this.#port)) !== undefined;
    } catch (thrown) {
      if (isSystemError(thrown)) return false; // no route, too big for the link, refused by a firewall
      throw thrown;
    }
  }
}

/** VNI of a frame between two neighbours. */
export function vniOf({ self, neighbour }: Probe): number {
  return self | (neighbour << 12);
}
/** Length of the probe's frame, at most `limit`. */
export function probeFrameBytes({ frameBytes = 0 }: Probe, limit: number): number {
  return Math.max(PROBE.size, Math.min(frameBytes, limit));
}
/** Writes a request; what is behind it stays. */
export function writeProbe(view: DataView, at: number, sequence: number): void {
  view.setUint32(at + PROBE.magic, PROBE_MAGIC);
  view.setUint16(at + PROBE.kind - 1, PROBE_REQUEST);
  view.setUint16(at + PROBE.sourceHead, SOURCE_MAC_HEAD);
  view.setUint32(at + PROBE.sequence, sequence);
  view.setUint16(at + PROBE.ethertype, PROBE_ETHERTYPE);
  view.setBigUint64(at + PROBE.sentNs, kernelNanoseconds());
}

// A host without IPv6 has no IPv6 neighbours.
function openIpv6(fds: Map<number, number>): void {
  try {
    fds.set(AF.INET6, socket(AF.INET6, SOCK.DGRAM | SOCK.NONBLOCK, 0));
  } catch (thrown) {
    if (isSystemError(thrown, "EAFNOSUPPORT")) return;
    throw thrown;
  }
  setIntOption(fds.get(AF.INET6)!, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE, "IPV6_MTU_DISCOVER"); // set above
}
