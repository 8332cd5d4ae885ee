// SPDX-License-Identifier: Apache-2.0
// The attachment journal as rows. Rows are ours, but a file can be edited: what does not parse is refused as damage, never guessed.
import type { Database } from "bun:sqlite";
import type { Attachment } from "../attach/attachment.ts";
import type { Journal } from "../attach/ports.ts";
import { type Cidr, formatCidr, parseCidr } from "../net/cidr.ts";
import { type Mac, macFromNumber } from "../net/mac.ts";
import { DamagedDatabaseError } from "./errors.ts";
import type { Guarded } from "./store.ts";

interface Row {
  host_link: string;
  kind: "veth" | "tap";
  owner: string;
  name: string;
  netns_path: string;
  netns_id: string;
  host_mac: number;
  mac: number;
  addresses: string;
  adding: string;
  removing: string;
  multicast_route: number;
  guarded: number;
  boot_id: string;
}

const PUT = `INSERT INTO attachments
  (host_link, kind, owner, name, netns_path, netns_id, host_mac, mac, addresses, adding, removing, multicast_route, guarded, boot_id)
  VALUES ($host_link, $kind, $owner, $name, $netns_path, $netns_id, $host_mac, $mac, $addresses, $adding, $removing, $multicast_route, $guarded, $boot_id)
  ON CONFLICT (host_link) DO UPDATE SET kind = excluded.kind, owner = excluded.owner, name = excluded.name, netns_path = excluded.netns_path,
  netns_id = excluded.netns_id, host_mac = excluded.host_mac, mac = excluded.mac, addresses = excluded.addresses, adding = excluded.adding,
  removing = excluded.removing, multicast_route = excluded.multicast_route, guarded = excluded.guarded, boot_id = excluded.boot_id`;

export class AttachmentTable implements Journal {
  readonly #database: Database;
  readonly #guarded: Guarded;

  constructor(database: Database, guarded: Guarded) {
    this.#database = database;
    this.#guarded = guarded;
  }

  /** Oldest first. @throws {DamagedDatabaseError} a row does not hold an attachment */
  attachments(): readonly Attachment[] {
    const query = this.#database.query<Row, []>("SELECT * FROM attachments ORDER BY sequence");
    return this.#guarded(() => query.all().map(fromRow));
  }

  get(hostLink: string): Attachment | undefined {
    const query = this.#database.query<Row, [string]>("SELECT * FROM attachments WHERE host_link = ?");
    const row = this.#guarded(() => query.get(hostLink));
    return row ? fromRow(row) : undefined;
  }

  put(attachment: Attachment): void {
    this.#guarded(() => this.#database.query(PUT).run({ ...toRow(attachment) }));
  }

  drop(hostLink: string): void {
    this.#guarded(() => this.#database.query("DELETE FROM attachments WHERE host_link = ?").run(hostLink));
  }
}

function toRow(attachment: Attachment): Row {
  return {
    host_link: attachment.hostLink,
    kind: attachment.kind,
    owner: attachment.owner,
    name: attachment.name,
    netns_path: attachment.netnsPath,
    netns_id: attachment.netnsId,
    host_mac: attachment.hostMac,
    mac: attachment.mac,
    addresses: joinCidrs(attachment.addresses),
    adding: joinCidrs(attachment.adding),
    removing: joinCidrs(attachment.removing),
    multicast_route: Number(attachment.multicastRoute),
    guarded: Number(attachment.guarded),
    boot_id: attachment.bootId,
  };
}

function fromRow(row: Row): Attachment {
  return {
    hostLink: row.host_link,
    kind: row.kind,
    owner: row.owner,
    name: row.name,
    netnsPath: row.netns_path,
    netnsId: row.netns_id,
    hostMac: readMac(row.host_mac),
    mac: readMac(row.mac),
    addresses: splitCidrs(row.addresses),
    adding: splitCidrs(row.adding),
    removing: splitCidrs(row.removing),
    multicastRoute: row.multicast_route !== 0,
    guarded: row.guarded !== 0,
    bootId: row.boot_id,
  };
}

/** @throws {DamagedDatabaseError} */
export function readMac(value: number): Mac {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 48) return macFromNumber(value);
  throw new DamagedDatabaseError(`the database holds '${value}' where a MAC should be`);
}

export function joinCidrs(cidrs: readonly Cidr[]): string {
  return cidrs.map(formatCidr).join(" ");
}

/** @throws {DamagedDatabaseError} */
export function splitCidrs(text: string): readonly Cidr[] {
  return text === "" ? [] : text.split(" ").map(readCidr);
}

/** @throws {DamagedDatabaseError} */
export function readCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) throw new DamagedDatabaseError(`the database holds '${text}' where an address should be`);
  return cidr;
}
