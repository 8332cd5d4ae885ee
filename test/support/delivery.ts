// SPDX-License-Identifier: Apache-2.0
// Counts copies: stations send marked frames of every kind, listen promiscuously, and the ledger says who got which how often.
import { decodeProbe, encodeProbe, FrameSocket } from "./frames.ts";
import type { Container } from "./lab-host.ts";
import { waitFor } from "./wait.ts";

/** A container that sends and counts. */
export class Station implements Disposable {
  readonly container: Container;
  readonly mac: string;
  readonly number: number;
  readonly #socket: FrameSocket;
  /** Copies received by (sender, sequence). */
  readonly #copies = new Map<string, number>();

  private constructor(container: Container, number: number, mac: string, device: string) {
    this.container = container;
    this.number = number;
    this.mac = mac;
    this.#socket = new FrameSocket(container.netns, device);
  }

  static async open(container: Container, number: number, device = "ethwe"): Promise<Station> {
    return new Station(container, number, await container.mac(device), device);
  }

  send(destination: string, sequence: number): void {
    this.#socket.send(encodeProbe({ destination, source: this.mac, sender: this.number, sequence }));
  }

  /** Copies of a frame seen here so far. */
  copies(sender: number, sequence: number): number {
    for (const frame of this.#socket.drain()) {
      const probe = decodeProbe(frame);
      if (probe === undefined) continue;
      const key = `${probe.sender}/${probe.sequence}`;
      this.#copies.set(key, (this.#copies.get(key) ?? 0) + 1);
    }
    return this.#copies.get(`${sender}/${sequence}`) ?? 0;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** Destinations every station of the segment must get exactly once. */
export const GROUP_KINDS = {
  broadcast: "ff:ff:ff:ff:ff:ff",
  "IPv4 multicast": "01:00:5e:40:98:01",
  "IPv6 multicast": "33:33:00:40:98:01",
  "unknown unicast": "02:57:4c:00:de:ad",
} as const;

/** What went wrong with one frame at one station. */
export interface Misdelivery {
  readonly kind: string;
  readonly from: string;
  readonly at: string;
  readonly copies: number;
  readonly frames: number;
}

/** Outcome of sending during a disturbance. */
export interface Disturbed {
  readonly frames: number;
  readonly lost: number;
  readonly repeated: number;
}

/** One experiment after the other over the same stations; sequence numbers never repeat. */
export class Ledger implements Disposable {
  readonly stations: readonly Station[];
  #sequence = 0;

  private constructor(stations: readonly Station[]) {
    this.stations = stations;
  }

  static async over(containers: readonly Container[], device = "ethwe"): Promise<Ledger> {
    return new Ledger(await Promise.all(containers.map((container, index) => Station.open(container, index + 1, device))));
  }

  next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** Every station sends `count` frames of every group kind; each other station must see each of them `expected` times.
   *  Returns what differed, at most after `settleMs`. */
  async groupFrames(count: number, settleMs = 2_000): Promise<Misdelivery[]> {
    const sent: { readonly kind: string; readonly from: Station; readonly sequence: number }[] = [];
    for (let round = 0; round < count; round++) {
      for (const from of this.stations) {
        for (const [kind, destination] of Object.entries(GROUP_KINDS)) {
          const sequence = this.next();
          from.send(destination, sequence);
          sent.push({ kind, from, sequence });
        }
      }
      await Bun.sleep(1);
    }
    const wrong = () =>
      summarize(
        sent.flatMap(({ kind, from, sequence }) =>
          this.stations
            .filter((at) => at !== from)
            .map((at) => ({ kind, from: from.container.name, at: at.container.name, copies: at.copies(from.number, sequence) }))
            .filter(({ copies }) => copies !== 1),
        ),
      );
    await waitFor("all group frames", () => wrong().length === 0, { deadlineMs: settleMs }).catch(() => undefined);
    // A second copy may come late: look again after a moment in which it would have come.
    await Bun.sleep(50);
    return wrong();
  }

  /** Every station sends `count` frames to every other station's address; nobody but the addressee may see them.
   *  Stations must have been heard before (`groupFrames` does that). */
  async unicastFrames(count: number, settleMs = 2_000): Promise<Misdelivery[]> {
    const sent: { readonly from: Station; readonly to: Station; readonly sequence: number }[] = [];
    for (let round = 0; round < count; round++) {
      for (const from of this.stations) {
        for (const to of this.stations) {
          if (to === from) continue;
          const sequence = this.next();
          from.send(to.mac, sequence);
          sent.push({ from, to, sequence });
        }
      }
      await Bun.sleep(1);
    }
    const wrong = () =>
      summarize(
        sent.flatMap(({ from, to, sequence }) =>
          this.stations
            .filter((at) => at !== from)
            .map((at) => ({
              kind: `unicast to ${to.container.name}`,
              from: from.container.name,
              at: at.container.name,
              copies: at.copies(from.number, sequence) - (at === to ? 1 : 0),
            }))
            .filter(({ copies }) => copies !== 0),
        ),
      );
    await waitFor("all unicast frames", () => wrong().length === 0, { deadlineMs: settleMs }).catch(() => undefined);
    await Bun.sleep(50);
    return wrong();
  }

  /** Group frames from every station all the time while `disturb` runs. Returns how many were sent, and the (frame, station) pairs
   *  that got none, and those that got several. */
  async during(disturb: () => Promise<void>, everyMs = 5): Promise<Disturbed> {
    const sent: { readonly from: Station; readonly sequence: number }[] = [];
    const timer = setInterval(() => {
      for (const from of this.stations) {
        const sequence = this.next();
        const kinds = Object.values(GROUP_KINDS);
        from.send(kinds[sequence % kinds.length] ?? GROUP_KINDS.broadcast, sequence);
        sent.push({ from, sequence });
        // Queues are emptied on the way, so that none overflows in a long disturbance.
        from.copies(from.number, sequence);
      }
    }, everyMs);
    try {
      await disturb();
    } finally {
      clearInterval(timer);
    }
    const pairs = sent.flatMap(({ from, sequence }) =>
      this.stations.filter((at) => at !== from).map((at) => ({ from, at, sequence })),
    );
    const copies = () => pairs.map(({ from, at, sequence }) => at.copies(from.number, sequence));
    await waitFor("the last frames", () => copies().every((count) => count > 0), { deadlineMs: 1_000 }).catch(() => undefined);
    await Bun.sleep(50);
    const counts = copies();
    return {
      frames: sent.length,
      lost: counts.filter((count) => count === 0).length,
      repeated: counts.filter((count) => count > 1).length,
    };
  }

  [Symbol.dispose](): void {
    for (const station of this.stations) station[Symbol.dispose]();
  }
}

function summarize(found: readonly Omit<Misdelivery, "frames">[]): Misdelivery[] {
  const groups = new Map<string, Misdelivery>();
  for (const one of found) {
    const key = `${one.kind}|${one.from}|${one.at}|${one.copies}`;
    groups.set(key, { ...one, frames: (groups.get(key)?.frames ?? 0) + 1 });
  }
  return [...groups.values()];
}
