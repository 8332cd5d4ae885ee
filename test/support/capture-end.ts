// SPDX-License-Identifier: Apache-2.0
// The capture end of a host's sleeve link in the hands of a test: what the switch handed over, and frames put in as if a sleeve had brought them.
import { encodeUnfinished, type HandedOver, readHandedOver, type Unfinished } from "./injection.ts";
import {
  AF_PACKET,
  bindSocket,
  closeSocket,
  inNetns,
  int32,
  linkAddress,
  openSocket,
  receivePacket,
  sendPacket,
  setSocketOption,
  stableBytes,
} from "./libc.ts";

const SOCK_RAW = 3;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const CAPTURE_LINK = "vethwe-pcap";
const MAX_FRAME_BYTES = 65_700;

/** Sends frames that the kernel has to finish. */
export class UnfinishedSender implements Disposable {
  readonly #fd: number;
  #mark = 0;

  /** @param netns path of the namespace the link is in */
  constructor(netns: string, device: string) {
    this.#fd = inNetns(netns, () => {
      const fd = openSocket(AF_PACKET, SOCK_RAW, 0);
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(4 << 20));
      setSocketOption(fd, SOL_PACKET, PACKET_VNET_HDR, int32(1));
      bindSocket(fd, linkAddress(device, 0));
      return fd;
    });
  }
  send(frame: Uint8Array, unfinished: Unfinished = {}): boolean {
    return sendPacket(this.#fd, encodeUnfinished(frame, unfinished));
  }
  sendTagged(mark: number, neighbour: number, frame: Uint8Array, unfinished: Unfinished): boolean {
    if (mark !== this.#mark) setSocketOption(this.#fd, SOL_SOCKET, SO_MARK, int32(mark));
    this.#mark = mark;
    return sendPacket(this.#fd, encodeUnfinished(frame, unfinished, neighbour));
  }
  [Symbol.dispose](): void {
    closeSocket(this.#fd);
  }
}

export class CaptureEnd implements Disposable {
  /** Readable when the switch has handed something over. */
  readonly fd: number;
  readonly #into: UnfinishedSender;
  readonly #buffer = stableBytes(MAX_FRAME_BYTES);

  /** @param netns path of the host's namespace */
  constructor(netns: string) {
    this.#into = new UnfinishedSender(netns, CAPTURE_LINK);
    this.fd = inNetns(netns, receiver);
  }

  /** Everything the switch handed over since the last call. */
  drain(): HandedOver[] {
    const found: HandedOver[] = [];
    for (;;) {
      const length = receivePacket(this.fd, this.#buffer);
      if (length < 0) return found;
      const handedOver = readHandedOver(this.#buffer.slice(0, length));
      if (handedOver) found.push(handedOver);
    }
  }

  /** Puts a frame in that came from `neighbour`. False: the link takes no more now. */
  inject(from: { neighbour: number; vni: number; ttl?: number }, frame: Uint8Array, unfinished: Unfinished = {}): boolean {
    return this.#into.sendTagged(((from.ttl ?? 64) << 24) | from.vni, from.neighbour, frame, unfinished);
  }

  [Symbol.dispose](): void {
    closeSocket(this.fd);
    this.#into[Symbol.dispose]();
  }
}

function receiver(): number {
  const fd = openSocket(AF_PACKET, SOCK_RAW, 0);
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(64 << 20));
  setSocketOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, int32(1));
  bindSocket(fd, linkAddress(CAPTURE_LINK, ETH_P_ALL));
  return fd;
}
