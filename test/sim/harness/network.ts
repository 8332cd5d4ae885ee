// SPDX-License-Identifier: Apache-2.0
// The simulated underlay: hosts with addresses, latency, loss, cuts; datagrams that get lost, doubled and overtaken; streams that
// keep their order and wait out a cut. Every byte sent is counted with the headers it would have on Ethernet.
import type { Random } from "../../../src/runtime/random.ts";
import type { VirtualTime } from "./virtual-clock.ts";

/** Ethernet 14, IPv4 20, TCP 20 with 12 of time stamps. */
export const TCP_PACKET_BYTES = 66;
/** Length prefix and seal of a message. */
export const SEAL_BYTES = 20;
/** One path probe or its reflection: Ethernet, IP, UDP, VXLAN and the probe frame. */
export const PROBE_BYTES = 76;
const SEGMENT_BYTES = 1448;

export interface Station {
  readonly ip: string;
  isOn: boolean;
  /** Ethernet bytes sent. */
  sentBytes: number;
}

export class Network {
  readonly time: VirtualTime;
  readonly random: Random;
  /** Chance that a datagram is lost, per direction; a stream segment is sent again. */
  loss = 0;
  /** Chance that a datagram arrives twice. */
  duplication = 0;
  /** Datagrams take up to this much longer, and overtake each other. */
  jitterMs = 0;
  /** One way. */
  latencyMs: (from: Station, to: Station) => number = () => 0.2;
  /** Bytes that all stations sent. */
  totalBytes = 0;
  readonly #cuts = new Set<(a: string, b: string) => boolean>();
  readonly #onHeal = new Set<() => void>();

  constructor(time: VirtualTime, random: Random) {
    this.time = time;
    this.random = random;
  }

  /** Nothing passes between the pairs that match, until healed. */
  cut(matches: (a: string, b: string) => boolean): { heal(): void } {
    this.#cuts.add(matches);
    return {
      heal: () => {
        this.#cuts.delete(matches);
        for (const flush of [...this.#onHeal]) flush();
      },
    };
  }
  whenHealed(flush: () => void): Disposable {
    this.#onHeal.add(flush);
    return { [Symbol.dispose]: () => void this.#onHeal.delete(flush) };
  }
  passes(a: Station, b: Station): boolean {
    if (!a.isOn || !b.isOn) return false;
    for (const cut of this.#cuts) if (cut(a.ip, b.ip) || cut(b.ip, a.ip)) return false;
    return true;
  }

  account(station: Station, bytes: number): void {
    station.sentBytes += bytes;
    this.totalBytes += bytes;
  }

  datagram(from: Station, to: Station, bytes: number, arrive: () => void): void {
    this.account(from, bytes);
    if (!this.passes(from, to) || this.#chance(this.loss)) return;
    const copies = this.#chance(this.duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const delayMs = this.latencyMs(from, to) + (this.jitterMs > 0 ? this.random.below(1000 * this.jitterMs) / 1000 : 0);
      this.time.after(delayMs, () => {
        if (to.isOn) arrive();
      });
    }
  }

  /** Delay of a segment that is sent again until it gets through. */
  streamDelayMs(from: Station, to: Station): number {
    let delayMs = this.latencyMs(from, to);
    for (let timeoutMs = 200; this.#chance(this.loss); timeoutMs *= 2) delayMs += timeoutMs;
    return delayMs;
  }
  accountStream(from: Station, to: Station, payload: number): void {
    const segments = Math.max(1, Math.ceil(payload / SEGMENT_BYTES));
    this.account(from, payload + segments * TCP_PACKET_BYTES);
    this.account(to, Math.ceil(segments / 2) * TCP_PACKET_BYTES);
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.random.below(1_000_000) < probability * 1_000_000;
  }
}
