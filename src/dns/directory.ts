// SPDX-License-Identifier: Apache-2.0
// What can be looked up now: the names of all peers that are here, indexed by name and by address. A lookup costs what its answer has, however
// many names there are; a change costs the changed entries.
import { type Ip, ipBytes } from "../net/ip.ts";
import { type Entry, entryKey } from "./entry.ts";
import { type Answer, TYPE } from "./message.ts";
import { type NameKey, parseName } from "./name.ts";

/** The addresses of a name as they stand in an answer, each once. */
export interface Addresses {
  readonly a: readonly Answer[];
  readonly aaaa: readonly Answer[];
}

class Named {
  readonly entries = new Map<string, Entry>();
  #addresses: Addresses | undefined;

  changed(): void {
    this.#addresses = undefined;
  }
  get addresses(): Addresses {
    this.#addresses ??= sortedByFamily([...this.entries.values()]);
    return this.#addresses;
  }
}

function sortedByFamily(entries: readonly Entry[]): Addresses {
  const all = Array.from(new Set(entries.map(({ address }) => address)), ipBytes);
  const records = (type: number, length: number): Answer[] =>
    all.filter((bytes) => bytes.length === length).map((data) => ({ type, data }));
  return { a: records(TYPE.a, 4), aaaa: records(TYPE.aaaa, 16) };
}

export class Directory {
  readonly #byName = new Map<string, Named>();
  readonly #byAddress = new Map<Ip, Map<string, Entry>>();

  /** @param holder whose entry it is: the same entry of two peers is two */
  add(holder: string, entry: Entry): void {
    const key = `${holder} ${entryKey(entry)}`;
    const name = keyOf(entry);
    const named = this.#byName.get(name) ?? new Named();
    this.#byName.set(name, named);
    named.entries.set(key, entry);
    named.changed();
    const at = this.#byAddress.get(entry.address) ?? new Map<string, Entry>();
    this.#byAddress.set(entry.address, at);
    at.set(key, entry);
  }

  remove(holder: string, entry: Entry): void {
    const key = `${holder} ${entryKey(entry)}`;
    const name = keyOf(entry);
    const named = this.#byName.get(name);
    if (named?.entries.delete(key)) named.changed();
    if (named?.entries.size === 0) this.#byName.delete(name);
    const at = this.#byAddress.get(entry.address);
    at?.delete(key);
    if (at?.size === 0) this.#byAddress.delete(entry.address);
  }

  addresses(name: NameKey): Addresses | undefined {
    return this.#byName.get(name)?.addresses;
  }

  /** One name, the first in order, so that every host gives the same. */
  nameOf(address: Ip): string | undefined {
    let first: string | undefined;
    for (const { name } of this.#byAddress.get(address)?.values() ?? []) {
      if (first === undefined || name.toLowerCase() < first.toLowerCase()) first = name;
    }
    return first;
  }
}

function keyOf({ name }: Entry): string {
  return parseName(name)?.key ?? ""; // entries are checked where they come in
}
