// SPDX-License-Identifier: Apache-2.0
// Opening the database file: durable mode (WAL, every commit on disk), checked, brought to our schema. A damaged file is kept aside, never
// deleted, and a new one begun; a newer schema is refused, because writing it could destroy what a later version knows.
import { Database } from "bun:sqlite";
import { chmodSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../runtime/clock.ts";
import { UserError } from "../runtime/errors.ts";
import { DamagedDatabaseError, translated } from "./errors.ts";
import { migrate, readVersion, SCHEMA_VERSION } from "./schema.ts";

export const DATABASE_NAME = "weave.db";

export interface OpenedDatabase {
  readonly database: Database;
  readonly path: string;
  /** What the operator should know, such as where a damaged file went. */
  readonly warnings: readonly string[];
}

/** Opens or creates `<dataDir>/weave.db`. `verify` reads what must be readable, and throws DamagedDatabaseError. @throws {UserError} unavailable: full disk, no permission; conflict: newer schema */
export function openDatabase(dataDir: string, clock: Clock, verify: (database: Database) => void): OpenedDatabase {
  makeDirectory(dataDir);
  const path = join(dataDir, DATABASE_NAME);
  try {
    return { database: openChecked(path, verify), path, warnings: [] };
  } catch (thrown) {
    if (!(thrown instanceof DamagedDatabaseError)) throw thrown;
    const kept = keepAside(path, clock);
    return {
      database: openChecked(path, verify),
      path,
      warnings: [`${thrown.message}; it is kept as ${kept}, and weave starts with an empty one`],
    };
  }
}

function makeDirectory(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new UserError("unavailable", `cannot make the data directory ${dataDir}: ${why}`, "choose another with --data-dir", {
      cause: thrown,
    });
  }
}

function openChecked(path: string, verify: (database: Database) => void): Database {
  return translated(path, () => {
    const database = new Database(path, { create: true, strict: true });
    try {
      configure(database, path);
      verify(database);
      return database;
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  });
}

function configure(database: Database, path: string): void {
  database.run("PRAGMA busy_timeout = 250");
  // Before anything is written, and before anybody judges whether the file is damaged: what a newer one puts there is not known here.
  const version = readVersion(database);
  if (version > SCHEMA_VERSION) {
    throw new UserError(
      "conflict",
      `database ${path} was written by a newer weave (schema ${version}, this one knows ${SCHEMA_VERSION})`,
      "install that version again, or move the file away to start afresh",
    );
  }
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = FULL");
  const check = database.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get();
  if (check?.quick_check !== "ok") throw new DamagedDatabaseError(`database ${path} is damaged: ${check?.quick_check}`);
  migrate(database);
  chmodSync(path, 0o600);
}

/** Moves the file and SQLite's companions out of the way. Returns the new path. */
function keepAside(path: string, clock: Clock): string {
  const stamp = new Date(clock.wallMs()).toISOString().replace(/[:.]/g, "-");
  let kept = `${path}.damaged-${stamp}`;
  for (let i = 2; existsSync(kept); i++) kept = `${path}.damaged-${stamp}-${i}`;
  renameSync(path, kept);
  for (const suffix of ["-wal", "-shm"]) if (existsSync(path + suffix)) renameSync(path + suffix, kept + suffix);
  return kept;
}
