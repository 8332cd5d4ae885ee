// SPDX-License-Identifier: Apache-2.0
// This host's own names, as rows.
import type { Database } from "bun:sqlite";
import { type Entry, entryKey, whyBadEntry } from "../dns/entry.ts";
import type { NameJournal } from "../dns/names.ts";
import { parseIp } from "../net/ip.ts";
import { DamagedDatabaseError } from "./errors.ts";
import type { Guarded } from "./store.ts";

interface Row {
  name: string;
  container: string;
  address: string;
}

export class NameTable implements NameJournal {
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }

  /** Oldest first. @throws {DamagedDatabaseError} a row does not hold a name */
  names(): readonly Entry[] {
    const query = this.#database.query<Row, []>("SELECT name, container, address FROM names ORDER BY sequence");
    return this.#guarded(() => query.all().map(readRow));
  }

  /** Both or neither, in one commit. */
  change(added: readonly Entry[], removed: readonly Entry[]): void {
    this.#guarded(() =>
      this.#database.transaction(() => {
        const drop = this.#database.query<unknown, [string]>("DELETE FROM names WHERE key = ?");
        const put = this.#database.query<unknown, [string, string, string, string]>(
          "INSERT OR REPLACE INTO names (key, name, container, address) VALUES (?, ?, ?, ?)",
        );
        for (const entry of removed) drop.run(entryKey(entry));
        for (const entry of added) put.run(entryKey(entry), entry.name, entry.container, entry.address);
      })(),
    );
  }
}

function readRow({ name, container, address }: Row): Entry {
  const ip = parseIp(address);
  if (ip === undefined || whyBadEntry({ name, container, address: ip }) !== undefined) {
    throw new DamagedDatabaseError(`a name is stored as '${name}' at '${address}'`);
  }
  return { name, container, address: ip };
}
