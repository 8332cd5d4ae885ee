// SPDX-License-Identifier: Apache-2.0
// What can be looked up now: the names of all peers that are here, indexed by name and by address. A lookup costs what its answer has, however
// many names there are; a change costs the changed entries. With many names a lookup's time is memory that is not in the processor's caches, so
// what it touches is little and lies together.
import { type Ip, ipBytes } from "../net/ip.ts";
import { type Entry, entryKey } from "./entry.ts";
import { type NameKey, parseName } from "./name.ts";

/** The addresses of a name as they stand in an answer, each once: 4 bytes each, 16 bytes each. */
export interface Addresses {
  readonly a: Uint8Array;
  readonly aaaa: Uint8Array;
}

/** An entry and whose it is: the same entry of two peers is two. */
interface Held {
  readonly holder: string;
  readonly entry: Entry;
}
const keyOf = ({ holder, entry }: Held): string => `${holder} ${entryKey(entry)}`;

/** Entries that share a name or an address. Nearly always there is one, for which a Map would need ten times the room. */
class Bag {
  #only: Held | undefined;
  #many: Map<string, Held> | undefined;

  add(held: Held): void {
    if (!this.#many && (!this.#only || keyOf(this.#only) === keyOf(held))) this.#only = held;
    else this.#others().set(keyOf(held), held);
  }
  delete(held: Held): void {
    if (this.#many) this.#many.delete(keyOf(held));
    else if (this.#only && keyOf(this.#only) === keyOf(held)) this.#only = undefined;
  }
  get isEmpty(): boolean {
    return this.#many ? this.#many.size === 0 : this.#only === undefined;
  }
  entries(): Entry[] {
    if (this.#many) return Array.from(this.#many.values(), ({ entry }) => entry);
    return this.#only ? [this.#only.entry] : [];
  }
  #others(): Map<string, Held> {
    this.#many ??= new Map(this.#only && [[keyOf(this.#only), this.#only]]);
    this.#only = undefined;
    return this.#many;
  }
}

const NONE = new Uint8Array(0);

class Named extends Bag implements Addresses {
  a = NONE;
  aaaa = NONE;
  isStale = true;

  /** Puts the addresses together when they are asked for, not with each of a thousand changes. */
  refresh(): void {
    this.isStale = false;
    const all = Array.from(new Set(this.entries().map(({ address }) => address)), ipBytes);
    this.a = together(all.filter((bytes) => bytes.length === 4));
    this.aaaa = together(all.filter((bytes) => bytes.length === 16));
  }
}

function together(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 0) return NONE;
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export class Directory {
  readonly #byName = new Map<string, Named>();
  readonly #byAddress = new Map<Ip, Bag>();

  add(holder: string, entry: Entry): void {
    const held = { holder, entry };
    const name = nameKeyOf(entry);
    const named = this.#byName.get(name) ?? new Named();
    this.#byName.set(name, named);
    named.add(held);
    named.isStale = true;
    const at = this.#byAddress.get(entry.address) ?? new Bag();
    this.#byAddress.set(entry.address, at);
    at.add(held);
  }

  remove(holder: string, entry: Entry): void {
    const held = { holder, entry };
    const name = nameKeyOf(entry);
    const named = this.#byName.get(name);
    if (named) {
      named.delete(held);
      named.isStale = true;
      if (named.isEmpty) this.#byName.delete(name);
    }
    const at = this.#byAddress.get(entry.address);
    at?.delete(held);
    if (at?.isEmpty) this.#byAddress.delete(entry.address);
  }

  addresses(name: NameKey): Addresses | undefined {
    const named = this.#byName.get(name);
    if (named?.isStale) named.refresh();
    return named;
  }

  /** One name, the first in order, so that every host gives the same. */
  nameOf(address: Ip): string | undefined {
    let first: string | undefined;
    for (const { name } of this.#byAddress.get(address)?.entries() ?? []) {
      if (first === undefined || name.toLowerCase() < first.toLowerCase()) first = name;
    }
    return first;
  }
}

function nameKeyOf({ name }: Entry): string {
  return parseName(name)?.key ?? ""; // entries are checked where they come in
}
