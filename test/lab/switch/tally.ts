// SPDX-License-Identifier: Apache-2.0
// Counts copies: every guest of a world listens promiscuously, frames are numbered, and each frame's copies at each guest are compared with
// what they should be.
import type { FrameSocket } from "../../support/frames.ts";
import { decodeProbe, encodeProbe } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import type { Guest, World } from "./world.ts";

export const GROUPS = {
  broadcast: "ff:ff:ff:ff:ff:ff",
  "IPv4 multicast": "01:00:5e:00:00:fb",
  "IPv6 multicast": "33:33:00:00:00:01",
  "unknown unicast": "02:fe:fe:fe:fe:fe",
} as const;

export class Tally implements Disposable {
  readonly #guests: readonly Guest[];
  readonly #sockets: Map<Guest, FrameSocket>;
  readonly #expected = new Map<string, readonly Guest[]>();
  readonly #copies = new Map<string, number>();
  #sequence = 0;

  constructor(world: World, guests: readonly Guest[] = world.guests) {
    this.#guests = guests;
    this.#sockets = new Map(guests.map((guest) => [guest, world.socket(guest.netns)]));
  }
  [Symbol.dispose](): void {
    for (const socket of this.#sockets.values()) socket[Symbol.dispose]();
  }
  get guests(): readonly Guest[] {
    return this.#guests;
  }

  /** Sends one numbered frame that exactly `receivers` must get, once each. */
  send(from: Guest, destination: string, receivers: readonly Guest[], lengthBytes = 64): void {
    const sequence = this.#sequence++;
    const sender = this.#guests.indexOf(from);
    this.#socket(from).send(encodeProbe({ destination, source: from.mac, sender, sequence }, lengthBytes));
    this.#expected.set(`${sender}/${sequence}`, receivers);
  }
  /** To a group: everybody else. */
  sendToAll(from: Guest, destination: string): void {
    this.send(
      from,
      destination,
      this.#guests.filter((guest) => guest !== from),
    );
  }

  /** What was wrong so far: missing, doubled and misdelivered copies. Waits for those that are still under way. */
  async faults(deadlineMs = 3_000): Promise<string[]> {
    await this.arrived(deadlineMs);
    await Bun.sleep(30); // a doubled frame comes right behind
    return this.#look().faults;
  }

  /** Waits until no copy is missing any more, or for the deadline. */
  async arrived(deadlineMs = 1_000): Promise<void> {
    await waitFor("all frames", () => this.#look().missing === 0, { deadlineMs, everyMs: 2 }).catch(() => undefined);
  }

  #look(): { missing: number; faults: string[] } {
    this.#collect();
    const faults: string[] = [];
    let missing = 0;
    for (const [frame, receivers] of this.#expected) {
      for (const guest of this.#guests) {
        const copies = this.#copies.get(`${frame} at ${guest.netns}`) ?? 0;
        const wanted = receivers.includes(guest) ? 1 : 0;
        if (copies < wanted) missing++;
        if (copies !== wanted) faults.push(`frame ${frame}: ${copies} instead of ${wanted} copies at ${guest.netns}`);
      }
    }
    return { missing, faults };
  }
  #collect(): void {
    for (const [guest, socket] of this.#sockets) {
      for (const frame of socket.drain()) {
        const probe = decodeProbe(frame);
        if (probe === undefined) continue;
        const key = `${probe.sender}/${probe.sequence} at ${guest.netns}`;
        this.#copies.set(key, (this.#copies.get(key) ?? 0) + 1);
      }
    }
  }
  #socket(guest: Guest): FrameSocket {
    const socket = this.#sockets.get(guest);
    if (socket === undefined) throw new Error(`nobody listens at ${guest.netns}`);
    return socket;
  }
}

/** Every guest sends one frame to each group. */
export function sendToGroups(tally: Tally): void {
  for (const from of tally.guests) for (const group of Object.values(GROUPS)) tally.sendToAll(from, group);
}
/** Every guest sends one frame to each other guest. */
export function sendToEach(tally: Tally): void {
  for (const from of tally.guests) for (const to of tally.guests) if (to !== from) tally.send(from, to.mac, [to]);
}
/** Several rounds, each when the one before has arrived: a machine with other things to do drops what comes in one heap
 *  (net.core.netdev_max_backlog). */
export async function inRounds(tally: Tally, rounds: number, send: (tally: Tally) => void): Promise<string[]> {
  for (let round = 0; round < rounds; round++) {
    send(tally);
    await tally.arrived();
  }
  return tally.faults();
}
