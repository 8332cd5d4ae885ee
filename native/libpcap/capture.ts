// SPDX-License-Identifier: Apache-2.0
// Frames as they pass an Ethernet link.
import { allocate, type Bytes, copyFrom, OutParameter } from "../ffi.ts";
import { PcapHandle, type PcapOptions } from "./handle.ts";
import { libpcap, PCAP_PKTHDR, PCAP_STAT } from "./symbols.ts";

export interface CapturedFrame {
  readonly bytes: Bytes;
  /** Length on the link; more than `bytes` holds when it was cut. */
  readonly length: number;
  /** Wall-clock time in µs since 1970. */
  readonly timestampUs: number;
}

const DEFAULTS: PcapOptions = {
  snapBytes: 65_535 + 14,
  bufferBytes: 2 << 20,
  promiscuous: false,
  direction: "inout",
  filter: "",
};

export class Capture implements Disposable {
  readonly #handle: PcapHandle;
  readonly #header = new OutParameter();
  readonly #data = new OutParameter();

  private constructor(handle: PcapHandle) {
    this.#handle = handle;
  }

  /** On a link of the calling thread's namespace. @throws {PcapError} see `PcapHandle.open` */
  static open(linkName: string, options: Partial<PcapOptions> = {}): Capture {
    return new Capture(PcapHandle.open(linkName, { ...DEFAULTS, ...options }));
  }
  [Symbol.dispose](): void {
    this.#handle[Symbol.dispose]();
  }

  /** The next frame, a copy; undefined when none is waiting. @throws {PcapError} the link went away */
  next(): CapturedFrame | undefined {
    const status = libpcap().symbols.pcap_next_ex(this.#handle.address, this.#header.bytes, this.#data.bytes);
    if (status < 0) throw this.#handle.failure("pcap_next_ex");
    const header = this.#header.address;
    const data = this.#data.address;
    if (status === 0 || header === null || data === null) return undefined;
    const fields = new DataView(copyFrom(header, PCAP_PKTHDR.size).buffer);
    return {
      bytes: copyFrom(data, fields.getUint32(PCAP_PKTHDR.captured, true)),
      length: fields.getUint32(PCAP_PKTHDR.length, true),
      timestampUs:
        Number(fields.getBigInt64(PCAP_PKTHDR.seconds, true)) * 1e6 + Number(fields.getBigInt64(PCAP_PKTHDR.microseconds, true)),
    };
  }

  /** For poll(): readable when a frame waits. Belongs to this object. */
  get fd(): number {
    return libpcap().symbols.pcap_get_selectable_fd(this.#handle.address);
  }

  /** Frames since it was opened. @throws {PcapError} */
  stats(): { readonly received: number; readonly dropped: number } {
    const words = allocate(PCAP_STAT.size);
    if (libpcap().symbols.pcap_stats(this.#handle.address, words) < 0) throw this.#handle.failure("pcap_stats");
    const view = new DataView(words.buffer);
    return { received: view.getUint32(PCAP_STAT.received, true), dropped: view.getUint32(PCAP_STAT.dropped, true) };
  }
}
