// SPDX-License-Identifier: Apache-2.0
// A virtual machine as the network sees it: whoever holds the other end of a tap, with any hardware addresses it likes.
import { decodeProbe, encodeProbe } from "./frames.ts";
import type { Host } from "./lab-host.ts";
import { closeSocket, inNetns, openTap, readFrame, stableBytes, writeFrame } from "./libc.ts";
import { waitFor } from "./wait.ts";

const MAX_FRAME_BYTES = 65_700;
/** BR_STATE_FORWARDING, linux/if_bridge.h */
const FORWARDING = "3";

export class VirtualMachine implements Disposable {
  #fd: number | undefined;
  readonly #buffer = stableBytes(MAX_FRAME_BYTES);
  readonly #copies = new Map<string, number>();

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Attaches a tap of this name and takes its other end. The bridge takes frames from it a moment after it has a carrier: by then a real machine is
   *  still starting. */
  static async boot(host: Host, name: string, cidr: string): Promise<VirtualMachine> {
    await host.mustWeave("attach", "--tap", name, cidr);
    const machine = new VirtualMachine(inNetns(host.netns, () => openTap(name)));
    const state = `/sys/class/net/${name}/brport/state`;
    await waitFor(`the bridge to forward for '${name}'`, async () => (await host.must(["cat", state])).trim() === FORWARDING);
    return machine;
  }

  #open(): number {
    if (this.#fd === undefined) throw new TypeError("this machine is off");
    return this.#fd;
  }

  /** @throws {Error} when the tap's queue stays full */
  sendFrame(frame: Uint8Array): void {
    for (let attempt = 0; attempt < 100; attempt++) {
      if (writeFrame(this.#open(), frame)) return;
      Bun.sleepSync(1);
    }
    throw new Error("the tap takes no more frames");
  }

  send(source: string, destination: string, sender: number, sequence: number): void {
    this.sendFrame(encodeProbe({ source, destination, sender, sequence }));
  }

  /** Copies of a probe seen here so far. */
  copies(sender: number, sequence: number): number {
    for (;;) {
      const length = readFrame(this.#open(), this.#buffer);
      if (length < 0) break;
      const probe = decodeProbe(this.#buffer.slice(0, length));
      if (probe === undefined) continue;
      const key = `${probe.sender}/${probe.sequence}`;
      this.#copies.set(key, (this.#copies.get(key) ?? 0) + 1);
    }
    return this.#copies.get(`${sender}/${sequence}`) ?? 0;
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSocket(this.#fd);
    this.#fd = undefined;
  }
}
