// SPDX-License-Identifier: Apache-2.0
// How fast names are answered, beside dnsmasq and unbound, in one run on one machine: dnsperf (4 clients, 200 questions in flight) asks each of
// them for names it has, in turn, with 10, 10,000 and 100,000 names.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../../src/dns/entry.ts";
import { parseIp } from "../../src/net/ip.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { openStore } from "../../src/store/store.ts";
import { run } from "../support/command.ts";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch } from "../support/weave.ts";
import { median, table } from "./figures.ts";
import { processorSeconds } from "./mesh.ts";

const SIZES = [10, 10_000, 100_000];
const SETUP = new URL("../../packaging/setup.sh", import.meta.url).pathname;
/** Questions in dnsperf's file, which it reads again and again. */
const QUESTIONS = 10_000;

interface Server {
  readonly name: string;
  readonly port: number;
  start(host: Host, entries: readonly Entry[]): Promise<void>;
}

const SERVERS: readonly Server[] = [
  {
    name: "weave",
    port: 5300,
    async start(host, entries) {
      // Through a directory of our own: SQLite does not follow the way into another root.
      const prepared = mkdtempSync(join(tmpdir(), "bench-dns-"));
      try {
        const store = openStore(prepared, systemClock);
        store.names.change(entries, []);
        store[Symbol.dispose]();
        cpSync(prepared, host.file("/var/lib/weave"), { recursive: true });
      } finally {
        rmSync(prepared, { recursive: true });
      }
      await launch(host, "--dns-listen-address", "127.0.0.1:5300", "--docker-api", "");
    },
  },
  {
    name: "dnsmasq",
    port: 5301,
    async start(host, entries) {
      writeFileSync(host.file("/run/hosts"), entries.map(({ name, address }) => `${address} ${plain(name)}\n`).join(""));
      const options = ["--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--addn-hosts=/run/hosts"];
      const quiet = ["--conf-file=/dev/null", "--pid-file=", "--user=root", "--cache-size=0", "--local-ttl=1"];
      host.background(["dnsmasq", "--keep-in-foreground", "--port=5301", ...options, ...quiet]);
    },
  },
  {
    name: "unbound",
    port: 5302,
    async start(host, entries) {
      const data = entries.map(({ name, address }) => `  local-data: "${name} 1 A ${address}"\n`).join("");
      const server = `server:\n  interface: 127.0.0.1\n  port: 5302\n  num-threads: 1\n  chroot: ""\n  username: ""\n  pidfile: ""\n  directory: "/run"\n  use-syslog: no\n  module-config: "iterator"\n  local-zone: "weave.local." static\n`;
      writeFileSync(host.file("/run/unbound.conf"), server + data);
      host.background(["unbound", "-d", "-c", "/run/unbound.conf"]);
    },
  },
];

const plain = (name: string): string => name.replace(/\.$/, "");

function entriesOf(count: number): Entry[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `n${index}.weave.local.`,
    container: "weave:extern",
    address: parseIp(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`)!,
  }));
}

interface Figure {
  readonly perSecond: number;
  readonly latencyUs: number;
  /** Processor time of the server, which other work on the machine changes little. */
  readonly costUs: number;
}

async function measure(host: Host, { name, port }: Server, seconds: number, transport: "udp" | "tcp"): Promise<Figure> {
  const load = ["-c", "4", "-q", "200", "-l", `${seconds}`, "-m", transport];
  const pid = host.processes().find(({ command }) => command[0]?.endsWith(name) && command[1] !== "stop")?.pid ?? 0;
  const before = processorSeconds(pid);
  const text = await host.must(["dnsperf", "-s", "127.0.0.1", "-p", `${port}`, "-d", "/run/questions", ...load]);
  const number = (label: string): number => Number(new RegExp(`${label}:\\s+([\\d.]+)`).exec(text)?.[1] ?? Number.NaN);
  if (!/Response codes:\s+NOERROR \d+ \(100\.00%\)/.test(text)) throw new Error(`wrong answers from port ${port}:\n${text}`);
  const costUs = (1e6 * (processorSeconds(pid) - before)) / number("Queries completed");
  return { perSecond: number("Queries per second"), costUs, latencyUs: 1e6 * number("Average Latency \\(s\\)") };
}

/** dnsperf says so when the server knows the first name. */
async function ready(host: Host, port: number): Promise<void> {
  await waitFor(
    `port ${port} to answer`,
    async () =>
      (
        await host.run(["dnsperf", "-s", "127.0.0.1", "-p", `${port}`, "-d", "/run/questions", "-n", "1", "-l", "1"])
      ).stdout.includes("NOERROR"),
    { deadlineMs: 30_000, everyMs: 200 },
  );
}

/** Names of one size, every server in turn, so that a slow moment hits all. */
async function benchSize(count: number, options: DnsOptions): Promise<string[][]> {
  await using lab = await Lab.with({ hosts: ["h1"], segments: [["h1"]] });
  const host = lab.host("h1");
  const entries = entriesOf(count);
  const step = Math.max(1, Math.floor(count / QUESTIONS));
  const asked = entries.filter((_, index) => index % step === 0).map(({ name }) => `${plain(name)} A\n`);
  writeFileSync(host.file("/run/questions"), asked.join(""));
  for (const server of SERVERS) {
    await server.start(host, entries);
    await ready(host, server.port);
  }
  const rows: string[][] = [];
  for (const transport of ["udp", "tcp"] as const) {
    const figures = new Map<string, Figure[]>(SERVERS.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      for (const server of SERVERS) figures.get(server.name)?.push(await measure(host, server, options.seconds, transport));
    }
    rows.push(...rowsOf(count, transport, figures));
  }
  return rows;
}

function rowsOf(count: number, transport: string, figures: ReadonlyMap<string, readonly Figure[]>): string[][] {
  const medians = [...figures].map(([name, all]) => ({
    name,
    perSecond: median(all.map((one) => one.perSecond)),
    latencyUs: median(all.map((one) => one.latencyUs)),
    costUs: median(all.map((one) => one.costUs)),
  }));
  const best = Math.max(...medians.filter(({ name }) => name !== "weave").map(({ perSecond }) => perSecond));
  return medians.map(({ name, perSecond, latencyUs, costUs }) => [
    `${count} names, ${transport}, ${name}`,
    perSecond.toFixed(0),
    latencyUs.toFixed(0),
    (perSecond / best).toFixed(2),
    costUs.toFixed(1),
  ]);
}

export interface DnsOptions {
  readonly rounds: number;
  /** Of each measurement. */
  readonly seconds: number;
}

export async function benchDns(options: DnsOptions): Promise<boolean> {
  const setup = await run(["bash", SETUP, "dns"]);
  if (setup.code !== 0) {
    console.log(`not measured: ${setup.stderr.trim()}`);
    return false;
  }
  const rows: string[][] = [];
  for (const count of SIZES) rows.push(...(await benchSize(count, options)));
  console.log(table(["", "answers/s", "latency µs", "of the faster other", "CPU µs per answer"], rows));
  return true;
}
