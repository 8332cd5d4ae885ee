// SPDX-License-Identifier: Apache-2.0
// TCP and UDP packets inside a container's own VXLAN or Geneve. Their checksums are unfinished, and their super-packets have to be cut, inside the
// tunnel, where no later kernel looks: so both are done here. An inner checksum that is finished already is what it would become, so that
// nothing has to be known of the sender's kernel.
//
//  outer Ethernet, IP, UDP | VXLAN 8 (RFC 7348), or Geneve 8 and its options (RFC 8926) | inner Ethernet, IP, TCP or UDP | payload
import { foldChecksum, sumWords } from "../../net/checksum.ts";
import { ETHERNET_HEADER_BYTES } from "../../net/ethernet.ts";
import { checksumOffset, IPV4_AT, Packet, pseudoHeaderSum, setIpLength, UDP_AT } from "./packet.ts";

const TUNNEL_BYTES = 8;
const INNER_BYTES_MIN = ETHERNET_HEADER_BYTES + 28; // IPv4 and UDP
/** VXLAN: the VNI is valid, and nothing else is set. */
const VXLAN_FLAGS = 0x0800_0000;
const GENEVE_VERSION = 0xc0;
const GENEVE_OPTIONS = 0x3f;
/** The low bits of its second byte are reserved. */
const GENEVE_RESERVED = 0x3f;
/** Transparent Ethernet bridging. */
const GENEVE_ETHERNET = 0x6558;

/** One packet in a tunnel. Used again and again. */
export class Nested {
  /** All offsets, and the bytes of the headers, are from the beginning of the outer frame. */
  readonly inner = new Packet();
  #outer: Packet | undefined;

  /** False: `outer`, the packet at `at`, carries none. */
  read(view: DataView, at: number, outer: Packet): boolean {
    const { isTcp, headerBytes, payloadBytes } = outer;
    if (isTcp || payloadBytes < TUNNEL_BYTES + INNER_BYTES_MIN) return false;
    const tunnelBytes = tunnelHeaderBytes(view, at + headerBytes);
    const shift = headerBytes + tunnelBytes;
    if (tunnelBytes === 0 || !this.inner.read(view, at + shift, payloadBytes - tunnelBytes)) return false;
    this.inner.ipAt += shift;
    this.inner.transportAt += shift;
    this.inner.headerBytes += shift;
    this.#outer = outer;
    return true;
  }

  /** Finishes the inner checksum of the frame at `at`, as it was read, if that is still to be done. */
  finish(view: DataView, at: number): void {
    const { inner } = this;
    const { ipAt, isIpv6, isTcp, transportAt, headerBytes, payloadBytes } = inner;
    const begun = pseudoHeaderSum(view, at + ipAt, isIpv6, isTcp, headerBytes - transportAt + payloadBytes);
    if (view.getUint16(at + transportAt + checksumOffset(isTcp)) === begun) writeChecksum(view, at, inner, begun, payloadBytes);
  }

  /** What a `Cutter` of the inner packet has left to do for the piece at `start`: the outer lengths, and the inner checksum. */
  dress(view: DataView, start: number, payload: number, number: number): void {
    const { inner } = this;
    const outer = this.#outer;
    if (!outer) return;
    const ip = start + outer.ipAt;
    const end = inner.headerBytes + payload;
    if (!outer.isIpv6) view.setUint16(ip + IPV4_AT.id, (view.getUint16(ip + IPV4_AT.id) + number) & 0xffff);
    setIpLength(view, ip, outer.isIpv6, end - outer.ipAt);
    view.setUint16(start + outer.transportAt + UDP_AT.length, end - outer.transportAt);
    const transportBytes = end - inner.transportAt;
    const begun = pseudoHeaderSum(view, start + inner.ipAt, inner.isIpv6, inner.isTcp, transportBytes);
    const hasNone = !inner.isTcp && view.getUint16(start + inner.transportAt + UDP_AT.checksum) === 0;
    if (!hasNone) writeChecksum(view, start, inner, begun, payload);
  }
}

/** 0: no tunnel that we know, or one that carries no Ethernet. */
function tunnelHeaderBytes(view: DataView, at: number): number {
  if (view.getUint8(at + TUNNEL_BYTES - 1) !== 0) return 0; // behind the VNI, reserved in both
  if (view.getUint32(at) === VXLAN_FLAGS) return TUNNEL_BYTES;
  const first = view.getUint8(at);
  const isGeneve =
    (first & GENEVE_VERSION) === 0 &&
    (view.getUint8(at + 1) & GENEVE_RESERVED) === 0 &&
    view.getUint16(at + 2) === GENEVE_ETHERNET;
  return isGeneve ? TUNNEL_BYTES + (first & GENEVE_OPTIONS) * 4 : 0;
}

/** `begun` is the sum of the pseudo-header. */
function writeChecksum(view: DataView, at: number, packet: Packet, begun: number, payload: number): void {
  const { isTcp, transportAt, headerBytes } = packet;
  const checksumAt = at + transportAt + checksumOffset(isTcp);
  view.setUint16(checksumAt, begun);
  const checksum = foldChecksum(sumWords(view, at + transportAt, at + headerBytes + payload));
  view.setUint16(checksumAt, !isTcp && checksum === 0 ? 0xffff : checksum); // of UDP, 0 says that there is none
}
