// SPDX-License-Identifier: Apache-2.0
// The allocator's memory: leases as rows, ring and vote as the allocator's own bytes. One change is one commit.
import type { Database } from "bun:sqlite";
import type { IpamChange, IpamJournal, Lease, StoredIpam } from "../ipam/lease.ts";
import { DamagedDatabaseError } from "./errors.ts";
import type { Guarded } from "./store.ts";

interface Row {
  address: number;
  owner: string;
  prefix_length: number;
  family: Lease["family"];
  via: Lease["via"];
  freed_ms: number | null;
}

export class LeaseTable implements IpamJournal {
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }

  /** @throws {DamagedDatabaseError} a row does not hold a lease */
  load(): StoredIpam {
    const rows = this.#guarded(() => this.#database.query<Row, []>("SELECT * FROM leases ORDER BY freed_ms, address").all());
    const memory = this.#guarded(() => this.#database.query<{ bytes: Uint8Array }, []>("SELECT bytes FROM ipam_memory").get());
    const leases: Lease[] = [];
    const freed: { lease: Lease; freedMs: number }[] = [];
    for (const row of rows) {
      const lease = leaseOf(row);
      if (row.freed_ms === null) leases.push(lease);
      else freed.push({ lease, freedMs: row.freed_ms });
    }
    return { memory: memory?.bytes, leases, freed };
  }

  commit({ memory, put, freed, drop }: IpamChange): void {
    const write = this.#database.query<unknown, [number, string, number, string, string, number | null]>(
      "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?)",
    );
    const row = (lease: Lease, freedMs: number | null): void => {
      write.run(lease.address, lease.owner, lease.prefixLength, lease.family, lease.via, freedMs);
    };
    const remove = this.#database.query<unknown, [number]>("DELETE FROM leases WHERE address = ?");
    const remember = this.#database.query<unknown, [Uint8Array]>("INSERT OR REPLACE INTO ipam_memory VALUES (1, ?)");
    this.#guarded(() =>
      this.#database.transaction(() => {
        for (const address of drop) remove.run(address);
        for (const { lease, freedMs } of freed) row(lease, freedMs);
        for (const lease of put) row(lease, null);
        if (memory) remember.run(memory);
      })(),
    );
  }
}

function leaseOf(row: Row): Lease {
  const { address, owner, prefix_length: prefixLength, family, via } = row;
  const isLease = Number.isInteger(address) && address >= 0 && address < 2 ** 32 && prefixLength >= 1 && prefixLength <= 32;
  if (!isLease) throw new DamagedDatabaseError(`the database holds '${address}/${prefixLength}' where an address should be`);
  return { address, owner, prefixLength, family, via };
}
