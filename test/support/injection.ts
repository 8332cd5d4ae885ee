// SPDX-License-Identifier: Apache-2.0
// What stands before and in a frame at the capture end of a sleeve link, read and written by hand after native/bpf/maps.h.
import { stableBytes } from "./libc.ts";

const MACS_BYTES = 12;
export const VNET_HEADER_BYTES = 10;
const HANDOVER_BYTES = 14;
const HANDOVER_ETHERTYPE = 0x88b6;
const VLAN = [0x8100, 0x88a8];
const TCP = 6;
const UDP = 17;
// linux/virtio_net.h
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;

/** A frame as the switch hands it over. */
export interface HandedOver {
  readonly ttl: number;
  readonly vni: number;
  /** Payload of each segment, 0: no super-packet. */
  readonly gsoSize: number;
  readonly neighbour: number;
  /** With the tag that stood beside it. */
  readonly frame: Uint8Array;
}
/** Segments still to be cut, checksums still to be made. */
export interface Unfinished {
  readonly gsoSize?: number;
  /** False: the checksum is right or left out, nothing is to be done about it. */
  readonly checksum?: boolean;
}

/** undefined: it is none. */
export function readHandedOver(bytes: Uint8Array): HandedOver | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HANDOVER_BYTES + 14 || view.getUint16(12) !== HANDOVER_ETHERTYPE) return undefined;
  const rest = bytes.subarray(HANDOVER_BYTES);
  const tag = view.getUint16(8) === 0 ? new Uint8Array() : bytes.subarray(8, 12);
  return {
    ttl: view.getUint8(0),
    vni: view.getUint32(0) & 0xffffff,
    gsoSize: view.getUint16(4),
    neighbour: view.getUint16(6),
    frame: joined(rest.subarray(0, MACS_BYTES), tag, rest.subarray(MACS_BYTES)),
  };
}

/** The bytes for a socket with PACKET_VNET_HDR; with `neighbour` behind a tag that says whom the frame is from. */
export function encodeUnfinished(
  frame: Uint8Array,
  { gsoSize = 0, checksum = true }: Unfinished = {},
  neighbour?: number,
): Uint8Array {
  const tag = neighbour === undefined ? new Uint8Array() : Uint8Array.of(0x81, 0, neighbour >> 8, neighbour & 0xff);
  const bytes = joined(new Uint8Array(VNET_HEADER_BYTES), frame.subarray(0, MACS_BYTES), tag, frame.subarray(MACS_BYTES));
  const segment = checksum ? segmentOf(frame) : undefined;
  if (segment === undefined) return bytes;
  const view = new DataView(bytes.buffer);
  const start = segment.at + tag.length;
  const field = segment.protocol === TCP ? 16 : 6;
  view.setUint16(VNET_HEADER_BYTES + start + field, segment.pseudoSum);
  view.setUint8(0, NEEDS_CSUM);
  view.setUint16(6, start, true);
  view.setUint16(8, field, true);
  if (gsoSize === 0) return bytes;
  const headerBytes = segment.protocol === TCP ? ((frame[segment.at + 12] ?? 0) >> 4) * 4 : 8;
  view.setUint8(1, segment.protocol === UDP ? GSO_UDP_L4 : segment.isIpv6 ? GSO_TCPV6 : GSO_TCPV4);
  view.setUint16(2, start + headerBytes, true);
  view.setUint16(4, gsoSize, true);
  return bytes;
}

interface Segment {
  /** Where its TCP or UDP header begins. */
  readonly at: number;
  readonly protocol: number;
  readonly isIpv6: boolean;
  readonly pseudoSum: number;
}

/** Of a frame with a whole TCP or UDP packet, behind any tags. */
function segmentOf(frame: Uint8Array): Segment | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let ip = MACS_BYTES + 2;
  while (VLAN.includes(view.getUint16(ip - 2))) ip += 4;
  const ethertype = view.getUint16(ip - 2);
  if (ethertype === 0x0800 && (view.getUint16(ip + 6) & 0x3fff) === 0) {
    const at = ip + (view.getUint8(ip) & 15) * 4;
    return segment(at, view.getUint8(ip + 9), false, frame.subarray(ip + 12, ip + 20), ip + view.getUint16(ip + 2) - at);
  }
  if (ethertype !== 0x86dd) return undefined;
  return segment(ip + 40, view.getUint8(ip + 6), true, frame.subarray(ip + 8, ip + 40), view.getUint16(ip + 4));
}
function segment(at: number, protocol: number, isIpv6: boolean, addresses: Uint8Array, length: number): Segment | undefined {
  if (protocol !== TCP && protocol !== UDP) return undefined;
  let sum = protocol + length;
  for (let i = 0; i < addresses.length; i += 2) sum += ((addresses[i] ?? 0) << 8) | (addresses[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return { at, protocol, isIpv6, pseudoSum: sum };
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = stableBytes(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
