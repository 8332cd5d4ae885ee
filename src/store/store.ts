// SPDX-License-Identifier: Apache-2.0
// What this host remembers over restarts, in one SQLite file: options and other settings, targets, the mesh as last seen, attachments,
// exposures, names, leases. Every call is on disk when it returns; `batch` makes several calls one commit with one fsync.
import type { Database } from "bun:sqlite";
import type { Clock } from "../runtime/clock.ts";
import { AttachmentTable } from "./attachments.ts";
import { translated } from "./errors.ts";
import { ExposureTable } from "./exposures.ts";
import { LeaseTable } from "./leases.ts";
import { NameTable } from "./names.ts";
import { openDatabase } from "./open.ts";
import { PluginTable } from "./plugin.ts";

/** The mesh's own encoding, and when and in which boot it was written. */
export interface StoredMeshState {
  readonly bytes: Uint8Array;
  readonly wallMs: number;
  readonly bootId: string;
}

/** Runs one statement or several under the store's error translation. */
export type Guarded = <Result>(action: () => Result) => Result;

export class Store implements Disposable {
  readonly path: string;
  /** Found while opening; for the log and for `status`. */
  readonly warnings: readonly string[];
  readonly settings: Settings;
  readonly targets: Targets;
  readonly meshState: MeshState;
  readonly attachments: AttachmentTable;
  readonly exposures: ExposureTable;
  readonly names: NameTable;
  readonly leases: LeaseTable;
  readonly plugin: PluginTable;
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, path: string, warnings: readonly string[]) {
    this.#database = database;
    this.path = path;
    this.warnings = warnings;
    this.#guarded = (action) => translated(path, action);
    this.settings = new Settings(database, this.#guarded);
    this.targets = new Targets(database, this.#guarded);
    this.meshState = new MeshState(database, this.#guarded);
    this.attachments = new AttachmentTable(database, this.#guarded);
    this.exposures = new ExposureTable(database, this.#guarded);
    this.names = new NameTable(database, this.#guarded);
    this.leases = new LeaseTable(database, this.#guarded);
    this.plugin = new PluginTable(database, this.#guarded);
  }

  /** All of `work`'s writes or none, in one commit. `work` must not wait. */
  batch<Result>(work: () => Result): Result {
    return this.#guarded(() => this.#database.transaction(work)());
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Opens `<dataDir>/weave.db`, see `open.ts`. @throws {UserError} */
export function openStore(dataDir: string, clock: Clock): Store {
  const { database, path, warnings } = openDatabase(dataDir, clock, readEverything);
  return new Store(database, path, warnings);
}

// A row that is not ours is damage like any other, found at start and not in the middle of something.
function readEverything(database: Database): void {
  const plain: Guarded = (action) => action();
  new AttachmentTable(database, plain).attachments();
  new ExposureTable(database, plain).exposures();
  new NameTable(database, plain).names();
  new LeaseTable(database, plain).load();
  new PluginTable(database, plain).endpoints();
}

/** Texts by name: options of `launch`, the data plane's facts, … */
class Settings {
  readonly #database: Database;
  readonly #guarded: Guarded;
  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }
  get(key: string): string | undefined {
    const query = this.#database.query<{ value: string }, [string]>("SELECT value FROM settings WHERE key = ?");
    return this.#guarded(() => query.get(key)?.value);
  }
  set(key: string, value: string): void {
    this.#guarded(() => this.#database.query("INSERT OR REPLACE INTO settings VALUES (?, ?)").run(key, value));
  }
  remove(key: string): void {
    this.#guarded(() => this.#database.query("DELETE FROM settings WHERE key = ?").run(key));
  }
}

/** The addresses `launch` and `connect` were given, in order, as they were spelt. */
class Targets {
  readonly #database: Database;
  readonly #guarded: Guarded;
  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }
  list(): readonly string[] {
    const query = this.#database.query<{ target: string }, []>("SELECT target FROM targets ORDER BY position");
    return this.#guarded(() => query.all().map((row) => row.target));
  }
  replace(targets: readonly string[]): void {
    this.#guarded(() =>
      this.#database.transaction(() => {
        this.#database.run("DELETE FROM targets");
        const insert = this.#database.query("INSERT OR IGNORE INTO targets (target) VALUES (?)");
        for (const target of targets) insert.run(target);
      })(),
    );
  }
}

class MeshState {
  readonly #database: Database;
  readonly #guarded: Guarded;
  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }
  load(): StoredMeshState | undefined {
    const query = this.#database.query<{ bytes: Uint8Array; wall_ms: number; boot_id: string }, []>(
      "SELECT bytes, wall_ms, boot_id FROM mesh_state",
    );
    const row = this.#guarded(() => query.get());
    return row ? { bytes: row.bytes, wallMs: row.wall_ms, bootId: row.boot_id } : undefined;
  }
  save(state: StoredMeshState): void {
    const query = this.#database.query<unknown, [Uint8Array, number, string]>(
      "INSERT OR REPLACE INTO mesh_state VALUES (1, ?, ?, ?)",
    );
    this.#guarded(() => query.run(state.bytes, state.wallMs, state.bootId));
  }
  clear(): void {
    this.#guarded(() => this.#database.run("DELETE FROM mesh_state"));
  }
}
