// SPDX-License-Identifier: Apache-2.0
// The host's own addresses on the bridge, as rows.
import type { Database } from "bun:sqlite";
import type { Exposure, ExposureJournal } from "../expose/exposure.ts";
import { formatCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { readCidr } from "./attachments.ts";
import type { Guarded } from "./store.ts";

interface Row {
  cidr: string;
  masquerade: number;
  state: Exposure["state"];
}

const PUT = `INSERT INTO exposures (address, cidr, masquerade, state) VALUES (?, ?, ?, ?)
  ON CONFLICT (address) DO UPDATE SET cidr = excluded.cidr, masquerade = excluded.masquerade, state = excluded.state`;

export class ExposureTable implements ExposureJournal {
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }

  /** Oldest first. @throws {DamagedDatabaseError} a row does not hold an exposure */
  exposures(): readonly Exposure[] {
    const query = this.#database.query<Row, []>("SELECT cidr, masquerade, state FROM exposures ORDER BY sequence");
    return this.#guarded(() =>
      query.all().map((row) => ({ cidr: readCidr(row.cidr), masquerade: row.masquerade !== 0, state: row.state })),
    );
  }

  put(exposure: Exposure): void {
    const { cidr, masquerade, state } = exposure;
    const query = this.#database.query<unknown, [string, string, number, string]>(PUT);
    this.#guarded(() => query.run(cidr.address, formatCidr(cidr), Number(masquerade), state));
  }

  drop(address: Ip): void {
    this.#guarded(() => this.#database.query("DELETE FROM exposures WHERE address = ?").run(address));
  }
}
