// SPDX-License-Identifier: Apache-2.0
// One open pcap_t: what a `Capture` is made of. Belongs to the network namespace the thread was in when it was opened.
import { isSystemError } from "../errno.ts";
import { type Address, allocate, cString, readCString, stringAt } from "../ffi.ts";
import { closeInBackground, duplicate } from "../libc/fd.ts";
import { SOL_PACKET } from "../libc/packet-socket.ts";
import { setIntOption } from "../libc/socket.ts";
import { BPF_PROGRAM, DLT_EN10MB, libpcap, PCAP_D, PCAP_ERRBUF_SIZE } from "./symbols.ts";

/** linux/if_packet.h */
const PACKET_IGNORE_OUTGOING = 23;

/** libpcap refused: its own text, with the call and the interface. It reports no errno. */
export class PcapError extends Error {
  readonly call: string;
  constructor(call: string, linkName: string, text: string) {
    super(`${call} ${linkName}: ${text}`);
    this.name = "PcapError";
    this.call = call;
  }
}

export interface PcapOptions {
  /** Bytes kept of each frame. */
  readonly snapBytes: number;
  readonly bufferBytes: number;
  readonly promiscuous: boolean;
  readonly direction: keyof typeof PCAP_D;
  /** pcap-filter(7) text; empty takes everything. */
  readonly filter: string;
}

export class PcapHandle implements Disposable {
  readonly linkName: string;
  #pcap: Address | null;

  private constructor(linkName: string, pcap: Address) {
    this.linkName = linkName;
    this.#pcap = pcap;
  }

  /** Opens an Ethernet link of the calling thread's namespace: non-blocking, and each frame at once rather than in batches.
   *  @throws {PcapError} no such link, not Ethernet, no permission, a filter that does not parse  @throws {MissingLibraryError} */
  static open(linkName: string, options: PcapOptions): PcapHandle {
    const errors = allocate(PCAP_ERRBUF_SIZE);
    const pcap = libpcap().symbols.pcap_create(linkName, errors);
    if (pcap === null) throw new PcapError("pcap_create", linkName, readCString(errors));
    const handle = new PcapHandle(linkName, pcap);
    try {
      handle.#activate(options);
      return handle;
    } catch (thrown) {
      handle[Symbol.dispose]();
      throw thrown;
    }
  }

  // The last close of a packet socket waits for every CPU (8 to 25 ms measured), so a duplicate keeps it open over pcap_close and is closed
  // by another thread.
  [Symbol.dispose](): void {
    if (this.#pcap === null) return;
    const fd = libpcap().symbols.pcap_get_selectable_fd(this.#pcap);
    const kept = fd < 0 ? undefined : duplicate(fd); // -1 before it was activated
    libpcap().symbols.pcap_close(this.#pcap);
    if (kept !== undefined) closeInBackground(kept);
    this.#pcap = null;
  }

  /** @throws {TypeError} closed */
  get address(): Address {
    if (this.#pcap === null) throw new TypeError(`the capture on ${this.linkName} is closed`);
    return this.#pcap;
  }
  failure(call: string): PcapError {
    const text = libpcap().symbols.pcap_geterr(this.address);
    return new PcapError(call, this.linkName, text === null ? "unknown error" : stringAt(text, PCAP_ERRBUF_SIZE));
  }

  #activate(options: PcapOptions): void {
    const { symbols } = libpcap();
    const pcap = this.address;
    symbols.pcap_set_snaplen(pcap, options.snapBytes); // these only fail on an active handle
    symbols.pcap_set_promisc(pcap, options.promiscuous ? 1 : 0);
    symbols.pcap_set_immediate_mode(pcap, 1);
    symbols.pcap_set_buffer_size(pcap, options.bufferBytes);
    const status = symbols.pcap_activate(pcap); // above 0: a warning
    if (status < 0) throw this.#activationFailure(status);
    if (symbols.pcap_datalink(pcap) !== DLT_EN10MB) throw new PcapError("pcap_datalink", this.linkName, "not an Ethernet link");
    const errors = allocate(PCAP_ERRBUF_SIZE);
    if (symbols.pcap_setnonblock(pcap, 1, errors) < 0) {
      throw new PcapError("pcap_setnonblock", this.linkName, readCString(errors));
    }
    if (symbols.pcap_setdirection(pcap, PCAP_D[options.direction]) < 0) throw this.failure("pcap_setdirection");
    if (options.direction === "in") ignoreOutgoing(symbols.pcap_get_selectable_fd(pcap));
    if (options.filter !== "") this.#setFilter(options.filter);
  }

  // The status names the kind of error, the handle's text says more where there is one.
  #activationFailure(status: number): PcapError {
    const kind = libpcap().symbols.pcap_statustostr(status);
    const detail = this.failure("pcap_activate");
    return detail.message.endsWith(": ") && kind !== null
      ? new PcapError("pcap_activate", this.linkName, stringAt(kind, PCAP_ERRBUF_SIZE))
      : detail;
  }

  #setFilter(filter: string): void {
    const { symbols } = libpcap();
    const program = allocate(BPF_PROGRAM.size);
    const text = cString(filter);
    if (symbols.pcap_compile(this.address, program, text, 1, 0xffff_ffff) < 0) throw this.failure("pcap_compile");
    try {
      if (symbols.pcap_setfilter(this.address, program) < 0) throw this.failure("pcap_setfilter");
    } finally {
      symbols.pcap_freecode(program);
    }
  }
}

// libpcap itself looks at the direction when the kernel has already copied the frame into the ring and woken us. Kernels before 4.20 go on so.
function ignoreOutgoing(fd: number): void {
  try {
    setIntOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  } catch (thrown) {
    if (!isSystemError(thrown, "ENOPROTOOPT")) throw thrown;
  }
}
