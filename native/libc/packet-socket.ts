// SPDX-License-Identifier: Apache-2.0
// A packet socket that only sends: whole Ethernet frames, each behind a virtio_net_hdr that says what the kernel has to finish (checksum,
// segmentation). Packets larger than any link's MTU pass as one.
import { checked } from "../errno.ts";
import { allocate, type Bytes } from "../ffi.ts";
import { close } from "./fd.ts";
import { AF, packetAddress } from "./sockaddr.ts";
import { bind, SO, SOCK, SOL_SOCKET, sendTo, setIntOption, socket } from "./socket.ts";
import { libc } from "./symbols.ts";

/** linux/if_packet.h */
export const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;

/** struct virtio_net_hdr, linux/virtio_net.h, in the machine's byte order. */
export const VIRTIO_NET_HDR = {
  size: 10,
  flags: 0,
  gsoType: 1,
  headerLength: 2,
  gsoSize: 4,
  csumStart: 6,
  csumOffset: 8,
} as const;

/** On a link of the calling thread's namespace; the descriptor is the caller's. @throws {SystemError} no such link, no permission */
export function openPacketSender(linkName: string): number {
  const ifindex = checked(libc().symbols.if_nametoindex(linkName) || -1, "if_nametoindex", linkName); // 0: none
  const fd = socket(AF.PACKET, SOCK.RAW | SOCK.NONBLOCK, 0); // protocol 0: receives nothing
  try {
    setIntOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    setIntOption(fd, SOL_SOCKET, SO.SNDBUFFORCE, 4 << 20, "SO_SNDBUFFORCE");
    bind(fd, packetAddress(ifindex, 0), linkName);
    return fd;
  } catch (thrown) {
    close(fd);
    throw thrown;
  }
}

/** Sends one whole frame in which the kernel has nothing to finish. False: the queue is full. @throws {SystemError} the link is down or gone, or the
 *  frame too long for it */
export function sendFrame(fd: number, frame: Uint8Array, linkName: string): boolean {
  const bytes: Bytes = allocate(VIRTIO_NET_HDR.size + frame.length);
  bytes.set(frame, VIRTIO_NET_HDR.size);
  return sendTo(fd, bytes, bytes.length, 0, null, linkName) !== undefined;
}
