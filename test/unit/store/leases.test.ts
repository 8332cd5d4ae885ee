// SPDX-License-Identifier: Apache-2.0
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IpamChange, Lease } from "../../../src/ipam/lease.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { openStore } from "../../../src/store/store.ts";

const NOTHING: IpamChange = { memory: undefined, put: [], freed: [], drop: [] };
const web: Lease = { address: 2 ** 32 - 2, owner: "web", prefixLength: 12, family: "both", via: "attach" };
const db: Lease = { address: 1, owner: "db", prefixLength: 24, family: "v4", via: "container" };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weave-leases-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("leases, resting addresses and memory come back as they were written", () => {
  {
    using store = openStore(folder, systemClock);
    expect(store.leases.load()).toEqual({ memory: undefined, leases: [], freed: [] });
    store.leases.commit({ ...NOTHING, memory: Uint8Array.of(1, 2), put: [web, db] });
    store.leases.commit({ ...NOTHING, freed: [{ lease: db, freedMs: 1.5e12 }] });
  }
  {
    using store = openStore(folder, systemClock);
    expect(store.leases.load()).toEqual({ memory: Uint8Array.of(1, 2), leases: [web], freed: [{ lease: db, freedMs: 1.5e12 }] });
    store.leases.commit({ ...NOTHING, put: [db], drop: [web.address] });
    expect(store.leases.load()).toMatchObject({ leases: [db], freed: [] });
  }
});

test("a change that cannot be written whole is not written at all", () => {
  using store = openStore(folder, systemClock);
  const wrong = { ...db, via: "nobody" as "api" }; // the table refuses it
  expect(() => store.leases.commit({ ...NOTHING, put: [web, wrong] })).toThrow();
  expect(store.leases.load().leases).toEqual([]);
});

test("rows that hold no lease are damage: the file is kept aside", () => {
  openStore(folder, systemClock)[Symbol.dispose]();
  using database = new Database(join(folder, "weave.db"));
  database.run("INSERT INTO leases VALUES (5000000000, 'web', 12, 'v4', 'api', NULL)");
  database.close();
  using store = openStore(folder, systemClock);
  expect(store.warnings.join()).toContain("the database holds '5000000000/12' where an address should be");
  expect(store.leases.load().leases).toEqual([]);
});
