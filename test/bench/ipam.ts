// SPDX-License-Identifier: Apache-2.0
// Addresses per second through the API of the compiled executable, each on disk before it is given out: on one host, and on ten that share a ring. The
// databases are on this machine's disk, and beside the figures stands how often a second that disk commits one row for SQLite.
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { launch, waitForMesh } from "../support/weave.ts";
import { median, table } from "./figures.ts";

export interface IpamOptions {
  readonly times: number;
  readonly hosts: number;
}

const REQUESTS = 2_000;

async function allocate(host: Host, id: string): Promise<string> {
  const response = await fetch(`http://weave/ip/${id}`, { method: "POST", unix: host.file("/run/weave/api.sock") });
  const text = await response.text();
  if (!response.ok) throw new Error(`${host.name}: ${response.status} ${text}`);
  return text;
}

/** `atOnce` clients on each host until `count` addresses have been given out on each. Returns addresses per second in all. */
async function run(hosts: readonly Host[], prefix: string, count: number, atOnce: number): Promise<number> {
  const given = new Set<string>();
  const startedAt = performance.now();
  const client = async (host: Host, next: { at: number }): Promise<void> => {
    while (next.at < count) given.add(await allocate(host, `${prefix}-${next.at++}`));
  };
  await Promise.all(
    hosts.flatMap((host) => {
      const next = { at: 0 };
      return Array.from({ length: atOnce }, () => client(host, next));
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  if (given.size !== hosts.length * count) throw new Error(`${given.size} addresses for ${hosts.length * count} requests`);
  return given.size / seconds;
}

/** Commits of one row per second, as durable as the daemon's. */
function commitsPerSecond(directory: string): number {
  using database = new Database(join(directory, "probe.db"), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = FULL");
  database.run("CREATE TABLE rows (value INTEGER)");
  const insert = database.query("INSERT INTO rows VALUES (?)");
  const startedAt = performance.now();
  let commits = 0;
  while (performance.now() - startedAt < 500) insert.run(commits++);
  return (1000 * commits) / (performance.now() - startedAt);
}

export async function benchIpam({ times, hosts: count }: IpamOptions): Promise<boolean> {
  const directory = mkdtempSync("/var/tmp/weave-bench-");
  try {
    await using lab = await Lab.open();
    const hosts = await lab.addHosts(...Array.from({ length: count }, (_, index) => `h${index + 1}`));
    await lab.connect(hosts);
    for (const [index, host] of hosts.entries()) {
      const flags = ["--ipalloc-init", `consensus=${count}`, "--data-dir", join(directory, host.name)];
      await launch(host, ...flags, ...(index === 0 ? [] : [hosts[0]?.address ?? ""]));
    }
    await waitForMesh(hosts, 60_000);
    await hosts[0]?.mustWeave("prime");
    const plans = [
      { what: "one host, one client", on: hosts.slice(0, 1), each: REQUESTS / 4, atOnce: 1 },
      { what: "one host, 64 clients", on: hosts.slice(0, 1), each: REQUESTS, atOnce: 64 },
      { what: `${count} hosts, 8 clients each`, on: hosts, each: Math.ceil(REQUESTS / count), atOnce: 8 },
    ];
    const rows: string[][] = [];
    for (const { what, on, each, atOnce } of plans) {
      const figures: number[] = [];
      for (let round = 0; round < times; round++)
        figures.push(await run(on, `${what}-${round}`.replaceAll(/[ ,]/g, ""), each, atOnce));
      rows.push([what, median(figures).toFixed(0), Math.min(...figures).toFixed(0), Math.max(...figures).toFixed(0)]);
    }
    rows.push(["the disk: commits of one row", commitsPerSecond(directory).toFixed(0), "", ""]);
    console.log(table(["addresses per second", "median", "least", "most"], rows));
    return true;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
