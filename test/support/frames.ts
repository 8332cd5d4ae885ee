// SPDX-License-Identifier: Apache-2.0
// Whole Ethernet frames in and out of a link in any network namespace, and marked probe frames whose copies can be counted.
import {
  AF_PACKET,
  bindSocket,
  closeSocket,
  inNetns,
  int32,
  linkAddress,
  linkIndex,
  openSocket,
  receivePacket,
  sendPacket,
  setSocketOption,
  stableBytes,
} from "./libc.ts";

const SOCK_RAW = 3;
const ETH_P_ALL = 0x0003;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SO_SNDBUFFORCE = 32;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;
const PACKET_IGNORE_OUTGOING = 23;
const MAX_FRAME_BYTES = 65_700;

/** A promiscuous packet socket on one link: sees what arrives there, not what leaves it (unless asked for both). */
export class FrameSocket implements Disposable {
  #fd: number | undefined;
  readonly #buffer = stableBytes(MAX_FRAME_BYTES);

  /** @param netns path of the namespace the link is in */
  constructor(netns: string, device: string, directions: "in" | "both" = "in") {
    this.#fd = inNetns(netns, () => {
      const fd = openSocket(AF_PACKET, SOCK_RAW, 0);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(32 << 20));
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(4 << 20));
      setSocketOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, int32(directions === "in" ? 1 : 0));
      // struct packet_mreq, linux/if_packet.h: int ifindex, u16 type, u16 length, u8 address[8]
      const membership = stableBytes(16);
      const words = new DataView(membership.buffer);
      words.setInt32(0, linkIndex(device), true);
      words.setUint16(4, PACKET_MR_PROMISC, true);
      setSocketOption(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership);
      bindSocket(fd, linkAddress(device, ETH_P_ALL));
      return fd;
    });
  }

  #open(): number {
    if (this.#fd === undefined) throw new TypeError("this frame socket is closed");
    return this.#fd;
  }

  /** @throws {Error} when the link's queue stays full */
  send(frame: Uint8Array): void {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (sendPacket(this.#open(), frame)) return;
      Bun.sleepSync(1);
    }
    throw new Error("the link takes no more frames");
  }

  /** Everything that arrived since the last call. */
  drain(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const length = receivePacket(this.#open(), this.#buffer);
      if (length < 0) return frames;
      frames.push(this.#buffer.slice(0, length));
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSocket(this.#fd);
    this.#fd = undefined;
  }
}

/** Six bytes of a hardware address written as text. */
export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

/** Local experimental ethertype 1 (IEEE 802): nobody on the way knows it. */
export const PROBE_ETHERTYPE = 0x88b5;
const MAGIC = 0x574c5046; // "WLPF"

/** A frame that says who sent it and which one it is.
 *  offset size
 *       0    6 destination
 *       6    6 source
 *      12    2 0x88b5
 *      14    4 magic
 *      18    4 sender
 *      22    4 sequence */
export interface Probe {
  readonly destination: string;
  readonly source: string;
  readonly sender: number;
  readonly sequence: number;
}

export function encodeProbe(probe: Probe, lengthBytes = 64): Uint8Array {
  const frame = stableBytes(lengthBytes);
  frame.set(macBytes(probe.destination), 0);
  frame.set(macBytes(probe.source), 6);
  const view = new DataView(frame.buffer);
  view.setUint16(12, PROBE_ETHERTYPE);
  view.setUint32(14, MAGIC);
  view.setUint32(18, probe.sender);
  view.setUint32(22, probe.sequence);
  return frame;
}

/** Sender and sequence of a probe frame; undefined for all other frames. */
export function decodeProbe(frame: Uint8Array): Pick<Probe, "sender" | "sequence"> | undefined {
  if (frame.byteLength < 26) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== PROBE_ETHERTYPE || view.getUint32(14) !== MAGIC) return undefined;
  return { sender: view.getUint32(18), sequence: view.getUint32(22) };
}
