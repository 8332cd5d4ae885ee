// SPDX-License-Identifier: Apache-2.0
// Addresses of containers that stopped and may come back. Docker gives an address back when a container stops and asks for any when it starts again,
// without saying for which; so what left last is given first. A container that restarts alone gets its own address; of those that restart at one time
// each gets one that one of them had. While a new container is being made nothing is given away like that, and a removed one's address is not. One that
// a container chose waits for it, too, but is given only when it is asked for.
import { type Cidr, cidrContains } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { Clock, Instant } from "../runtime/clock.ts";

const MAX_NEW = 256;
/** Who makes a container to run it starts it by then; others, such as those that only hold volumes, are never started. */
const NEW_MS = 60_000;
const MAX_LEFT = 1024;

export interface Left {
  readonly container: string;
  /** It chose the address. */
  readonly isChosen: boolean;
}

/** Keeps them over a restart of the host, at which all containers stop and come back. */
export interface ReturningJournal {
  load(): ReadonlyMap<Ip, Left>;
  save(left: ReadonlyMap<Ip, Left>): void;
}

export class Returning {
  readonly #journal: ReturningJournal;
  /** The last that left at the end. */
  readonly #left: Map<Ip, Left>;
  /** Containers that are to start for the first time, and when they were made. */
  readonly #new = new Map<string, Instant>();
  readonly #clock: Pick<Clock, "now">;

  constructor(journal: ReturningJournal, clock: Pick<Clock, "now">) {
    this.#journal = journal;
    this.#clock = clock;
    this.#left = new Map(journal.load());
  }

  /** A container stopped and gave its addresses back. */
  leave(addresses: readonly Ip[], left: Left): void {
    for (const address of addresses) {
      this.#left.delete(address);
      this.#left.set(address, left);
    }
    drop(this.#left.keys(), this.#left.size - MAX_LEFT, (one) => this.#left.delete(one));
    this.#save();
  }
  created(container: string): void {
    this.#new.set(container, this.#clock.now());
    drop(this.#new.keys(), this.#new.size - MAX_NEW, (one) => this.#new.delete(one));
  }
  started(container: string): void {
    this.#new.delete(container);
  }
  destroyed(container: string): void {
    this.#new.delete(container);
    const gone = [...this.#left].filter(([, left]) => left.container === container);
    for (const [address] of gone) this.#left.delete(address);
    if (gone.length > 0) this.#save();
  }

  has(address: Ip): boolean {
    return this.#left.has(address);
  }
  /** Somebody has it now. */
  taken(address: Ip): void {
    if (this.#left.delete(address)) this.#save();
  }

  /** The address for whoever comes now, and then no more; undefined: any. */
  next(from: Cidr, isFree: (address: Ip) => boolean): Ip | undefined {
    const newSince = this.#clock.now() - NEW_MS;
    if ([...this.#new.values()].some((madeAt) => madeAt > newSince)) return undefined;
    const isWanted = (address: Ip): boolean => cidrContains(from, address) && isFree(address);
    const found = [...this.#left].findLast(([address, { isChosen }]) => !isChosen && isWanted(address))?.[0];
    if (found !== undefined) this.taken(found);
    return found;
  }

  #save(): void {
    this.#journal.save(this.#left);
  }
}

function drop<Key>(keys: IterableIterator<Key>, excess: number, remove: (key: Key) => void): void {
  for (let dropped = 0; dropped < excess; dropped++) {
    const { value, done } = keys.next();
    if (!done) remove(value);
  }
}
