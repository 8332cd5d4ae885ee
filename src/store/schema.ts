// SPDX-License-Identifier: Apache-2.0
// The database's schema as a list of migrations; `user_version` counts those done. Append only: a released migration never changes.
import type { Database } from "bun:sqlite";

const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE targets (position INTEGER PRIMARY KEY, target TEXT NOT NULL UNIQUE);
  CREATE TABLE mesh_state (one INTEGER PRIMARY KEY CHECK (one = 1), bytes BLOB NOT NULL, wall_ms REAL NOT NULL, boot_id TEXT NOT NULL);
  -- MACs are 48-bit integers; addresses, adding and removing are CIDRs separated by spaces.
  CREATE TABLE attachments (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    host_link TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('veth', 'tap')),
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    netns_path TEXT NOT NULL,
    netns_id TEXT NOT NULL,
    host_mac INTEGER NOT NULL,
    mac INTEGER NOT NULL,
    addresses TEXT NOT NULL,
    adding TEXT NOT NULL,
    removing TEXT NOT NULL,
    multicast_route INTEGER NOT NULL,
    guarded INTEGER NOT NULL,
    boot_id TEXT NOT NULL
  );
  CREATE TABLE exposures (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    cidr TEXT NOT NULL,
    masquerade INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('exposing', 'exposed', 'hiding'))
  );
  `,
  `
  CREATE TABLE names (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    container TEXT NOT NULL,
    address TEXT NOT NULL
  );
  `,
  `
  -- Addresses are IPv4 as numbers. freed_ms is the wall clock of the release while an address rests, else null.
  CREATE TABLE leases (
    address INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    prefix_length INTEGER NOT NULL,
    family TEXT NOT NULL CHECK (family IN ('v4', 'v6', 'both')),
    via TEXT NOT NULL CHECK (via IN ('attach', 'container', 'api')),
    freed_ms REAL
  );
  CREATE TABLE ipam_memory (one INTEGER PRIMARY KEY CHECK (one = 1), bytes BLOB NOT NULL);
  `,
  `
  -- Of the Docker plugins. MACs and addresses as in attachments.
  CREATE TABLE plugin_networks (id TEXT PRIMARY KEY, multicast INTEGER NOT NULL, guarded INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE plugin_endpoints (
    id TEXT PRIMARY KEY,
    network TEXT NOT NULL,
    host_mac INTEGER NOT NULL,
    mac INTEGER NOT NULL,
    addresses TEXT NOT NULL,
    guarded INTEGER NOT NULL,
    container TEXT NOT NULL
  ) WITHOUT ROWID;
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** The version the file is at; 0 for a new one. */
export function readVersion(database: Database): number {
  const row = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
  return row?.user_version ?? 0;
}

/** Brings the file to SCHEMA_VERSION, each step with its version number in one transaction. */
export function migrate(database: Database): void {
  for (let version = readVersion(database); version < SCHEMA_VERSION; version++) {
    database.transaction(() => {
      database.run(MIGRATIONS[version]!); // the loop ends before the list does
      database.run(`PRAGMA user_version = ${version + 1}`);
    })();
  }
}
