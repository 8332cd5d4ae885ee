// SPDX-License-Identifier: Apache-2.0
// Peers that were with us or were named to us, and are not in the mesh we see: where to try them, so that two halves of a divided
// mesh find each other again. Bounded, newest first to stay.
import type { Clock, Instant } from "../runtime/clock.ts";
import type { PeerName } from "./peer-name.ts";

const MAX = 64;
const KEEP_MS = 24 * 3600_000;

export class FormerPeers {
  readonly #clock: Clock;
  readonly #all = new Map<PeerName, { readonly address: string; readonly since: Instant }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(name: PeerName): boolean {
    return this.#all.has(name);
  }
  names(): IterableIterator<PeerName> {
    return this.#all.keys();
  }
  /** `ip:port` it was last known to listen at. */
  addressOf(name: PeerName): string | undefined {
    return this.#all.get(name)?.address;
  }
  add(name: PeerName, address: string): void {
    this.#all.delete(name);
    this.#all.set(name, { address, since: this.#clock.now() });
    if (this.#all.size > MAX) this.#all.delete(this.#all.keys().next().value!);
  }
  delete(name: PeerName): void {
    this.#all.delete(name);
  }

  /** Those who are in the mesh again are like all others in it; those from long ago are given up. */
  expire(reachable: ReadonlySet<PeerName>): void {
    const before = this.#clock.now() - KEEP_MS;
    for (const [name, { since }] of this.#all) if (since < before || reachable.has(name)) this.#all.delete(name);
  }
}
