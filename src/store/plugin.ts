// SPDX-License-Identifier: Apache-2.0
// Networks and endpoints that Docker has with our drivers, as rows: what the drivers must know after a restart, because Docker does not tell again.
import type { Database } from "bun:sqlite";
import type { Endpoint, PluginJournal, PluginNetwork } from "../plugin/ports.ts";
import { joinCidrs, readMac, splitCidrs } from "./attachments.ts";
import type { Guarded } from "./store.ts";

interface NetworkRow {
  id: string;
  multicast: number;
  guarded: number;
}
interface EndpointRow {
  id: string;
  network: string;
  host_mac: number;
  mac: number;
  addresses: string;
  guarded: number;
  container: string;
}

export class PluginTable implements PluginJournal {
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }

  networks(): readonly PluginNetwork[] {
    const query = this.#database.query<NetworkRow, []>("SELECT * FROM plugin_networks ORDER BY id");
    return this.#guarded(() =>
      query.all().map(({ id, multicast, guarded }) => ({ id, multicast: multicast !== 0, guarded: guarded !== 0 })),
    );
  }
  putNetwork({ id, multicast, guarded }: PluginNetwork): void {
    const query = this.#database.query("INSERT OR REPLACE INTO plugin_networks VALUES (?, ?, ?)");
    this.#guarded(() => query.run(id, Number(multicast), Number(guarded)));
  }
  dropNetwork(id: string): void {
    this.#guarded(() => this.#database.query("DELETE FROM plugin_networks WHERE id = ?").run(id));
  }

  /** @throws {DamagedDatabaseError} a row does not hold an endpoint */
  endpoints(): readonly Endpoint[] {
    const query = this.#database.query<EndpointRow, []>("SELECT * FROM plugin_endpoints ORDER BY id");
    return this.#guarded(() => query.all().map(fromRow));
  }
  endpoint(id: string): Endpoint | undefined {
    const query = this.#database.query<EndpointRow, [string]>("SELECT * FROM plugin_endpoints WHERE id = ?");
    const row = this.#guarded(() => query.get(id));
    return row ? fromRow(row) : undefined;
  }
  putEndpoint(endpoint: Endpoint): void {
    const { id, network, hostMac, mac, addresses, guarded, container } = endpoint;
    const query = this.#database.query("INSERT OR REPLACE INTO plugin_endpoints VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#guarded(() => query.run(id, network, hostMac, mac, joinCidrs(addresses), Number(guarded), container));
  }
  dropEndpoint(id: string): void {
    this.#guarded(() => this.#database.query("DELETE FROM plugin_endpoints WHERE id = ?").run(id));
  }
}

function fromRow(row: EndpointRow): Endpoint {
  return {
    id: row.id,
    network: row.network,
    hostMac: readMac(row.host_mac),
    mac: readMac(row.mac),
    addresses: splitCidrs(row.addresses),
    guarded: row.guarded !== 0,
    container: row.container,
  };
}
