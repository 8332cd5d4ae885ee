// SPDX-License-Identifier: Apache-2.0
// Frames from neighbours into the switch: at the sleeve link's capture end, each behind a virtio_net_hdr, with the neighbour in a VLAN tag and
// VNI and TTL in the mark (native/bpf/maps.h). Segments of one TCP connection that follow each other go in as one super-packet.
import { Arena } from "../../native/ffi.ts";
import { copyBytes, Messages } from "../../native/libc/messages.ts";
import { VIRTIO_NET_HDR } from "../../native/libc/packet-socket.ts";
import { MSG, SO, SOL_SOCKET } from "../../native/libc/socket.ts";
import { FRAME_BYTES_MAX } from "../overlay/sleeve/datagram.ts";
import { isJoinable, Joined } from "../overlay/sleeve/joining.ts";
import { checksumOffset, Packet, pseudoHeaderSum, setIpLength, UDP_AT } from "../overlay/sleeve/packet.ts";

const BLOCK_BYTES = 1 << 20;
const FRAMES = 256;
const MACS_BYTES = 12;
const TAG_BYTES = 4;
const ETHERNET_BYTES = 14;
const TPID = 0x8100;
/** linux/virtio_net.h */
const NEEDS_CSUM = 1;
const GSO = { tcp4: 1, tcp6: 4, udp: 5 } as const;

export class Injector {
  readonly drops = { linkFull: 0 };
  frames = 0;
  readonly #fd: number;
  readonly #block = Arena.allocate(BLOCK_BYTES);
  readonly #messages = new Messages(FRAMES);
  readonly #packet = new Packet();
  readonly #joined = new Joined(TAG_BYTES);
  #joinedMark = 0;
  #joinedNeighbour = 0;
  #count = 0;
  #at = 0;
  // The last frame taken.
  #start = 0;

  /** `fd`: a packet socket with PACKET_VNET_HDR. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Takes one frame of `length` bytes at `at` of `from`. */
  add(from: Arena, at: number, length: number, neighbour: number, mark: number): void {
    if (length < MACS_BYTES + 2 || length > FRAME_BYTES_MAX) return;
    const packet = this.#packet;
    const isPlain = packet.read(from.view, at, length);
    const joins = isPlain && isJoinable(from.view, at, packet);
    if (joins && this.#join(from, at, neighbour, mark)) return;
    this.#finish();
    if (this.#count === FRAMES || this.#at + FRAME_BYTES_MAX + TAG_BYTES + VIRTIO_NET_HDR.size > BLOCK_BYTES) this.flush();
    // Padding behind the packet would be taken into its checksum.
    const bytes = isPlain ? packet.headerBytes + packet.payloadBytes : length;
    this.#begin(from, at, bytes, neighbour, mark);
    if (joins) {
      this.#joinedMark = mark;
      this.#joinedNeighbour = neighbour;
      this.#joined.begin(this.#block.view, this.#start + VIRTIO_NET_HDR.size + TAG_BYTES, packet);
    } else if (isPlain) this.#leaveChecksum(this.#start, packet, bytes);
  }

  /** Injects everything. */
  flush(): void {
    this.#finish();
    for (let sent = 0; sent < this.#count; ) {
      const result = this.#messages.send(this.#fd, sent, this.#count - sent, MSG.DONTWAIT);
      if (result > 0) sent += result;
      else {
        this.drops.linkFull++;
        sent++; // this one the link does not take
      }
    }
    this.frames += this.#count;
    this.#count = 0;
    this.#at = 0;
  }

  #begin(from: Arena, at: number, length: number, neighbour: number, mark: number): void {
    const { view } = this.#block;
    const start = this.#at;
    const frame = start + VIRTIO_NET_HDR.size;
    this.#start = start;
    for (let i = 0; i < VIRTIO_NET_HDR.size; i += 2) view.setUint16(start + i, 0);
    copyBytes(from, at, this.#block, frame, MACS_BYTES);
    view.setUint16(frame + MACS_BYTES, TPID);
    view.setUint16(frame + MACS_BYTES + 2, neighbour);
    copyBytes(from, at + MACS_BYTES, this.#block, frame + MACS_BYTES + TAG_BYTES, length - MACS_BYTES);
    const bytes = VIRTIO_NET_HDR.size + TAG_BYTES + length;
    this.#messages.setPayload(this.#count, this.#block, start, bytes);
    this.#messages.setControl32(this.#count, SOL_SOCKET, SO.MARK, mark >>> 0);
    this.#count++;
    this.#at = start + ((bytes + 1) & ~1);
  }

  /** Puts the packet's payload behind the super-packet being built, if it continues it. */
  #join(from: Arena, at: number, neighbour: number, mark: number): boolean {
    const joined = this.#joined;
    if (!joined.isOpen || neighbour !== this.#joinedNeighbour || mark !== this.#joinedMark) return false;
    const packet = this.#packet;
    const { view } = this.#block;
    if (!joined.continues(view, from.view, at, packet)) return false;
    const end = joined.at + joined.headerBytes + joined.payloadBytes;
    if (end + packet.payloadBytes > BLOCK_BYTES) return false;
    copyBytes(from, at + packet.headerBytes, this.#block, end, packet.payloadBytes);
    joined.extend(view, from.view, at, packet);
    return true;
  }

  /** The super-packet gets its lengths, its checksum's beginning, and the size of its segments. */
  #finish(): void {
    const joined = this.#joined;
    if (!joined.isOpen) return;
    const { view } = this.#block;
    const { at, isIpv6, isTcp, headerBytes, payloadBytes, segmentBytes, transportAt } = joined;
    const start = at - TAG_BYTES - VIRTIO_NET_HDR.size;
    const length = headerBytes + payloadBytes;
    if (payloadBytes > segmentBytes) {
      setIpLength(view, at + ETHERNET_BYTES, isIpv6, length - ETHERNET_BYTES);
      if (!isTcp) view.setUint16(at + transportAt + UDP_AT.length, length - transportAt);
      view.setUint8(start + VIRTIO_NET_HDR.gsoType, isTcp ? (isIpv6 ? GSO.tcp6 : GSO.tcp4) : GSO.udp);
      view.setUint16(start + VIRTIO_NET_HDR.headerLength, headerBytes + TAG_BYTES, true);
      view.setUint16(start + VIRTIO_NET_HDR.gsoSize, segmentBytes, true);
      this.#messages.setPayload(this.#count - 1, this.#block, start, VIRTIO_NET_HDR.size + TAG_BYTES + length);
      this.#at = (start + VIRTIO_NET_HDR.size + TAG_BYTES + length + 1) & ~1;
    }
    this.#leaveChecksum(start, joined, length);
    joined.end();
  }

  /** The kernel completes the checksum, or never needs it. A UDP checksum of zero means that there is none. */
  #leaveChecksum(start: number, packet: Shape, length: number): void {
    const { view } = this.#block;
    const { isIpv6, isTcp, ipAt, transportAt } = packet;
    const frame = start + VIRTIO_NET_HDR.size + TAG_BYTES; // where the frame would begin without the tag
    const at = frame + transportAt + checksumOffset(isTcp);
    if (!isTcp && view.getUint16(at) === 0) return;
    view.setUint16(at, pseudoHeaderSum(view, frame + ipAt, isIpv6, isTcp, length - transportAt));
    view.setUint8(start + VIRTIO_NET_HDR.flags, NEEDS_CSUM);
    view.setUint16(start + VIRTIO_NET_HDR.csumStart, transportAt + TAG_BYTES, true);
    view.setUint16(start + VIRTIO_NET_HDR.csumOffset, checksumOffset(isTcp), true);
  }
}

/** What finishing a checksum needs to know of a packet. */
type Shape = Pick<Packet, "isIpv6" | "isTcp" | "ipAt" | "transportAt">;
