// SPDX-License-Identifier: Apache-2.0
// TCP and UDP packets in Ethernet frames, as containers send them: whole headers, the IPv4 checksum right, those of TCP and UDP left open.
import { foldChecksum, sumWords } from "../../src/net/checksum.ts";

export interface InnerFrame {
  readonly protocol: "tcp" | "udp";
  readonly payload: Uint8Array;
  readonly ipv6?: boolean;
  readonly sequence?: number;
  readonly flags?: number;
  readonly id?: number;
  /** Bytes of TCP options, a multiple of 4. */
  readonly optionBytes?: number;
  /** Bytes of IPv4 options, a multiple of 4. */
  readonly ipOptionBytes?: number;
  readonly vlan?: number;
  readonly sourcePort?: number;
  readonly dontFragment?: boolean;
}

export const MACS = Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1);

export function innerFrame(frame: InnerFrame): Uint8Array<ArrayBuffer> {
  const { payload, ipv6 = false, vlan, optionBytes = 0, ipOptionBytes = 0 } = frame;
  const ip = vlan === undefined ? 14 : 18;
  const ipBytes = ipv6 ? 40 : 20 + ipOptionBytes;
  const transportBytes = frame.protocol === "tcp" ? 20 + optionBytes : 8;
  const bytes = new Uint8Array(ip + ipBytes + transportBytes + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MACS);
  if (vlan !== undefined) {
    view.setUint16(12, 0x8100);
    view.setUint16(14, vlan);
  }
  view.setUint16(ip - 2, ipv6 ? 0x86dd : 0x0800);
  const protocol = frame.protocol === "tcp" ? 6 : 17;
  if (ipv6) {
    view.setUint8(ip, 0x60);
    view.setUint16(ip + 4, transportBytes + payload.length);
    view.setUint8(ip + 6, protocol);
    view.setUint8(ip + 7, 64);
    bytes.fill(0xfd, ip + 8, ip + 40);
  } else {
    view.setUint8(ip, 0x40 | (ipBytes / 4));
    view.setUint16(ip + 2, ipBytes + transportBytes + payload.length);
    view.setUint16(ip + 4, frame.id ?? 7);
    if (frame.dontFragment ?? true) view.setUint16(ip + 6, 0x4000);
    view.setUint8(ip + 8, 64);
    view.setUint8(ip + 9, protocol);
    bytes.set([10, 32, 1, 1, 10, 32, 2, 1], ip + 12);
    bytes.fill(1, ip + 20, ip + ipBytes);
    view.setUint16(ip + 10, foldChecksum(sumWords(view, ip, ip + ipBytes)));
  }
  const transport = ip + ipBytes;
  view.setUint16(transport, frame.sourcePort ?? 40_000);
  view.setUint16(transport + 2, 80);
  if (frame.protocol === "tcp") {
    view.setUint32(transport + 4, frame.sequence ?? 1_000);
    view.setUint32(transport + 8, 5_000);
    view.setUint8(transport + 12, (transportBytes / 4) << 4);
    view.setUint8(transport + 13, frame.flags ?? 0x10);
    view.setUint16(transport + 14, 512);
    bytes.fill(1, transport + 20, transport + transportBytes);
  } else {
    view.setUint16(transport + 4, transportBytes + payload.length);
    view.setUint16(transport + 6, 0x1234);
  }
  bytes.set(payload, transport + transportBytes);
  return bytes;
}

/** `length` bytes that tell where they belong. */
export function pattern(length: number, from = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => ((from + i) * 31 + ((from + i) >>> 8)) & 0xff);
}
