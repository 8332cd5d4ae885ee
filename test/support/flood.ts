// SPDX-License-Identifier: Apache-2.0
// A flood of numbered datagrams between two places: which of them did not arrive, and what came twice.
import { readFileSync } from "node:fs";
import type { Place } from "./lab-host.ts";
import { inNetns } from "./libc.ts";
import { UdpSocket } from "./udp.ts";
import { waitFor } from "./wait.ts";

const PORT = 5_301;
const EVERY_MS = 2;
const AT_ONCE = 8; // 4,000 a second, of which the receiver's buffer holds those of a second
const BYTES = 200;

export interface FloodResult {
  readonly sent: number;
  /** Never arrived, although the receiver's buffer had room. */
  readonly lost: number;
  readonly duplicates: number;
}

export class Flood {
  readonly #to: Place;
  readonly #address: string;
  readonly #sender: UdpSocket;
  readonly #receiver: UdpSocket;
  readonly #overflowsBefore: number;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #seen = new Set<number>();
  #sent = 0;
  #duplicates = 0;

  private constructor(from: Place, to: Place, address: string) {
    this.#to = to;
    this.#address = address;
    this.#overflowsBefore = overflows(to);
    this.#sender = new UdpSocket(from, 0, 4);
    this.#receiver = new UdpSocket(to, PORT, 4);
    this.#timer = setInterval(() => this.#turn(), EVERY_MS);
  }

  /** From now on, after the first one has arrived. */
  static async start(from: Place, to: Place, address: string): Promise<Flood> {
    const flood = new Flood(from, to, address);
    await waitFor("the first datagram", () => flood.#seen.size > 0);
    return flood;
  }

  async stop(): Promise<FloodResult> {
    clearInterval(this.#timer);
    const lost = (): number => this.#sent - this.#seen.size - (overflows(this.#to) - this.#overflowsBefore);
    const isDone = (): boolean => {
      this.#drain();
      return lost() <= 0;
    };
    // What is under way arrives; what is lost does not, however long one waits.
    await waitFor("the last datagrams", isDone, { deadlineMs: 1_000 }).catch(() => undefined);
    this.#sender[Symbol.dispose]();
    this.#receiver[Symbol.dispose]();
    return { sent: this.#sent, lost: Math.max(0, lost()), duplicates: this.#duplicates };
  }

  #turn(): void {
    for (let i = 0; i < AT_ONCE; i++) {
      const data = new Uint8Array(BYTES);
      new DataView(data.buffer).setUint32(0, this.#sent);
      if (this.#sender.send(data, this.#address, PORT)) this.#sent++; // else it has not left this host's queue
    }
    this.#drain();
  }
  #drain(): void {
    for (let data = this.#receiver.receive(); data !== undefined; data = this.#receiver.receive()) {
      const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
      if (this.#seen.has(number)) this.#duplicates++;
      this.#seen.add(number);
    }
  }
}

/** Datagrams that the receiver was too slow for. */
function overflows(place: Place): number {
  const text = inNetns(place.netns, () => readFileSync("/proc/thread-self/net/snmp", "utf8"));
  const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("Udp:"));
  return Number(values.split(" ")[names.split(" ").indexOf("RcvbufErrors")] ?? 0);
}
