// SPDX-License-Identifier: Apache-2.0
// Puts single frames on an Ethernet link. Not for the frame path: it cannot send more than the link's MTU at once.
import type { Bytes } from "../ffi.ts";
import { PcapHandle } from "./handle.ts";
import { libpcap } from "./symbols.ts";

export class Injector implements Disposable {
  readonly #handle: PcapHandle;

  private constructor(handle: PcapHandle) {
    this.#handle = handle;
  }

  /** On a link of the calling thread's namespace. Captures nothing. @throws {PcapError} see `PcapHandle.open` */
  static open(linkName: string): Injector {
    const options = { snapBytes: 64, bufferBytes: 65_536, promiscuous: false, direction: "in", filter: "less 1" } as const;
    return new Injector(PcapHandle.open(linkName, options));
  }
  [Symbol.dispose](): void {
    this.#handle[Symbol.dispose]();
  }

  /** Sends one whole Ethernet frame, without check sequence. @throws {PcapError} the link is down or gone, or the frame too long for it */
  inject(frame: Bytes): void {
    const sent = libpcap().symbols.pcap_inject(this.#handle.address, frame, frame.length);
    if (sent !== frame.length) throw this.#handle.failure("pcap_inject");
  }
}
