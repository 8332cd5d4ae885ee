// SPDX-License-Identifier: Apache-2.0
// Sends path probes by the sleeve: from a packet socket at the switch's end of the sleeve link, marked as the switch marks its own frames
// (native/bpf/maps.h). The answers come back through the sleeve to the switch; nothing is ever received here.
import { SLEEVE_PRIORITY } from "../../native/bpf/maps.ts";
import { isSystemError } from "../../native/errno.ts";
import { allocate } from "../../native/ffi.ts";
import { close } from "../../native/libc/fd.ts";
import { AF, packetAddress } from "../../native/libc/sockaddr.ts";
import { bind, SO, SOCK, SOL_SOCKET, sendTo, setIntOption, socket } from "../../native/libc/socket.ts";
import { type Probe, probeFrameBytes, vniOf, writeProbe } from "./probe-socket.ts";

const LARGEST_BYTES = 65_000;
const TTL = 64;

export class SleeveProbeSocket implements Disposable {
  readonly #ifindex: number;
  #fd: number | undefined;
  readonly #frame = allocate(LARGEST_BYTES);
  readonly #view = new DataView(this.#frame.buffer);

  private constructor(ifindex: number, fd: number) {
    this.#ifindex = ifindex;
    this.#fd = fd;
  }
  /** In the calling thread's namespace. @throws {SystemError} */
  static open(ifindex: number): SleeveProbeSocket {
    const fd = socket(AF.PACKET, SOCK.RAW | SOCK.NONBLOCK, 0); // protocol 0: it receives nothing
    try {
      bind(fd, packetAddress(ifindex, 0), `link ${ifindex}`);
      return new SleeveProbeSocket(ifindex, fd);
    } catch (thrown) {
      close(fd);
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = undefined;
  }

  /** False: it could not be sent, which is to be taken like a lost one. */
  send(probe: Probe): boolean {
    if (this.#fd === undefined) return false;
    writeProbe(this.#view, 0, probe.sequence);
    try {
      setIntOption(this.#fd, SOL_SOCKET, SO.MARK, vniOf(probe) | (TTL << 24), "SO_MARK");
      setIntOption(this.#fd, SOL_SOCKET, SO.PRIORITY, SLEEVE_PRIORITY | probe.neighbour, "SO_PRIORITY");
      const length = probeFrameBytes(probe, LARGEST_BYTES);
      return sendTo(this.#fd, this.#frame, length, 0, packetAddress(this.#ifindex, 0)) !== undefined;
    } catch (thrown) {
      if (isSystemError(thrown)) return false; // the link is gone or down
      throw thrown;
    }
  }
}
