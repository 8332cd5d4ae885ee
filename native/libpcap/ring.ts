// SPDX-License-Identifier: Apache-2.0
// Frames where the kernel put them: libpcap's capture without a copy and without an object for any of them. libpcap maps the packet socket's
// ring (TPACKET_V2 in immediate mode) and hands out pointers into it; /proc/self/maps tells where it lies, so one view serves for all frames.
import { JSCallback, type Pointer, read } from "bun:ffi";
import { readFileSync } from "node:fs";
import { type Address, Arena } from "../ffi.ts";
import { fstat } from "../libc/fd.ts";
import { copyBytes } from "../libc/messages.ts";
import { PcapHandle } from "./handle.ts";
import { libpcap, PCAP_PKTHDR, PCAP_STAT } from "./symbols.ts";

export interface RingOptions {
  /** Bytes kept of each frame. The kernel reserves as much for every one, rounded up to a power of two. */
  readonly snapBytes: number;
  /** Frames that may wait. */
  readonly frames: number;
}

/** A frame of `length` bytes at `at` of `RingCapture.memory`. Must not throw. */
export type FrameTaker = (at: number, length: number) => void;

export class RingCapture implements Disposable {
  /** Frames lie in here. Nobody else reads them, so they may be written over, and so may HEADROOM_BYTES before each. */
  readonly memory: Arena;
  readonly #handle: PcapHandle;
  readonly #symbols = libpcap().symbols;
  readonly #address: Address;
  readonly #taker: FrameTaker;
  readonly #callback: JSCallback;
  readonly #callbackAt: Pointer;
  /** False: the ring was not found, frames are copied. */
  readonly #isMapped: boolean;

  private constructor(handle: PcapHandle, snapBytes: number, taker: FrameTaker) {
    this.#handle = handle;
    this.#address = handle.address;
    this.#taker = taker;
    const ring = findRing(this.fd);
    this.#isMapped = ring !== undefined;
    this.memory = ring ?? Arena.allocate(HEADROOM_BYTES + snapBytes);
    // void (*pcap_handler)(u_char *user, const struct pcap_pkthdr *, const u_char *)
    this.#callback = new JSCallback((_user, header, data) => this.#hand(header, data), {
      args: ["ptr", "ptr", "ptr"],
      returns: "void",
    });
    if (this.#callback.ptr === null) throw new Error("bun:ffi made no callback");
    this.#callbackAt = this.#callback.ptr;
  }

  /** What arrives at a link of the calling thread's namespace goes to `taker`. @throws {PcapError} see `PcapHandle.open` */
  static open(linkName: string, options: RingOptions, taker: FrameTaker): RingCapture {
    const { snapBytes, frames } = options;
    // libpcap makes as many slots as fit into the buffer, each a little larger than a frame.
    const bufferBytes = frames * (snapBytes + HEADROOM_BYTES);
    const handle = PcapHandle.open(linkName, { snapBytes, bufferBytes, promiscuous: false, direction: "in", filter: "" });
    try {
      return new RingCapture(handle, snapBytes, taker);
    } catch (thrown) {
      handle[Symbol.dispose]();
      throw thrown;
    }
  }
  /** `memory` must not be touched any more. */
  [Symbol.dispose](): void {
    this.#handle[Symbol.dispose]();
    this.#callback.close();
  }

  /** Hands up to `limit` waiting frames over, each valid during its call only. How many there were. @throws {PcapError} the link went away */
  deliver(limit: number): number {
    const delivered = this.#symbols.pcap_dispatch(this.#address as Pointer, limit, this.#callbackAt, null);
    if (delivered < 0) throw this.#handle.failure("pcap_dispatch");
    return delivered;
  }

  #hand(header: Pointer, data: Pointer): void {
    const length = read.u32(header, PCAP_PKTHDR.captured);
    // As an integer to the engine too: addresses are doubles to it, and a double as an index takes the slow way everywhere.
    if (this.#isMapped) this.#taker((data - this.memory.base) | 0, length);
    else {
      copyBytes({ base: data }, 0, this.memory, HEADROOM_BYTES, length);
      this.#taker(HEADROOM_BYTES, length);
    }
  }

  /** For poll(): readable when a frame waits. Belongs to this object. */
  get fd(): number {
    return this.#symbols.pcap_get_selectable_fd(this.#handle.address);
  }
  /** Frames since it was opened. @throws {PcapError} */
  stats(): { readonly received: number; readonly dropped: number } {
    const words = Arena.allocate(PCAP_STAT.size);
    if (this.#symbols.pcap_stats(this.#handle.address, words.bytes) < 0) throw this.#handle.failure("pcap_stats");
    return {
      received: words.view.getUint32(PCAP_STAT.received, true),
      dropped: words.view.getUint32(PCAP_STAT.dropped, true),
    };
  }
}

/** The kernel leaves at least its own header's room before each frame (struct tpacket2_hdr, struct sockaddr_ll). */
export const HEADROOM_BYTES = 32;

/** The mapping of this socket, as one block. proc(5): `7f85ac000000-7f85b0000000 rw-s 00000000 00:09 363725  socket:[363725]` */
function findRing(fd: number): Arena | undefined {
  const wanted = `socket:[${fstat(fd).inode}]`;
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw-s .* (socket:\[\d+\])$/.exec(line);
    if (match?.[3] !== wanted) continue;
    const start = Number.parseInt(match[1] ?? "", 16);
    return Arena.over(start as Pointer, Number.parseInt(match[2] ?? "", 16) - start);
  }
  return undefined;
}
