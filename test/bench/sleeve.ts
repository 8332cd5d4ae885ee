// SPDX-License-Identifier: Apache-2.0
// The sleeve beside the raw link and other user-space networks, with and without segmentation in the link: clear, and sealed. All rows in turns within one run, medians of
// the rounds; sender, both hosts and receiver share this machine's processors, so trust the ratios.

import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { statusOf } from "../support/weave.ts";
import { median, table } from "./figures.ts";
import { benchInVm } from "./in-vm.ts";
import { Netbench, type Path } from "./netbench.ts";
import { type End, missing, USERSPACE, userspacePath } from "./userspace.ts";

export interface SleeveBenchOptions {
  readonly rounds: number;
  readonly durationMs: number;
  /** Only rows whose name contains one of these, and the raw link; all when empty. */
  readonly only: readonly string[];
}

interface Row {
  readonly name: string;
  /** Gbit/s of TCP through what it is compared with in Weave Net; undefined: with nothing. */
  readonly original: number | undefined;
  /** Or why there is none. */
  path: Path | string;
  readonly tcp1: number[];
  readonly tcp4: number[];
  readonly pps: number[];
  readonly pingUs: number[];
}

const SMALL_PAYLOAD_BYTES = 32;
const PINGS = 300;
/** What makes a super-packet cross a link whole; a link without it gets packets. */
const SEGMENTATION = ["gso", "tso", "tx-udp-segmentation", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"];
/** Weave Net's sleeve on a machine like ours (its best clear run, and its encrypted one), not measured here: it needs a kernel module. */
const ORIGINAL = { clear: 0.41, encrypted: 0.285 } as const;
const VARIANTS = [
  { name: "sleeve, clear", original: ORIGINAL.clear, flags: ["--no-fastdp"] },
  { name: "sleeve, encrypted", original: ORIGINAL.encrypted, flags: ["--no-fastdp", "--password", "bench"] },
] as const;

/** Two hosts on a cable of their own, by addresses 10.70.<number>.1 and .2. */
async function pair(lab: Lab, number: number, segments: boolean): Promise<readonly [Host, Host]> {
  const [a, b] = (await lab.addHosts(`S${number}a`, `S${number}b`)) as [Host, Host];
  await lab.wire(a, b, "u0");
  for (const [host, last] of [
    [a, 1],
    [b, 2],
  ] as const) {
    await host.must(["ip", "address", "add", `10.70.${number}.${last}/24`, "dev", "u0"]);
    if (!segments) await host.must(["ethtool", "-K", "u0", ...SEGMENTATION.flatMap((feature) => [feature, "off"])]);
  }
  return [a, b];
}

async function attached(host: Host, cidr: string): Promise<Container> {
  const container = await host.container("c");
  await host.mustWeave("attach", cidr, container.path);
  return container;
}

async function sleevePath(hosts: readonly [Host, Host], number: number, flags: readonly string[]): Promise<Path> {
  const [a, b] = hosts;
  await a.mustWeave("launch", ...flags);
  await b.mustWeave("launch", ...flags, `10.70.${number}.1`);
  const from = await attached(a, `10.71.${number}.1/24`);
  const to = await attached(b, `10.71.${number}.2/24`);
  const address = `10.71.${number}.2`;
  if (!(await from.reaches(address, 10_000))) throw new Error("the far end does not answer");
  await waitFor("the sleeve", async () => (await statusOf(a)).router.connections.some(({ overlay }) => overlay === "sleeve"));
  return { from, to, address };
}

function rowOf(name: string, original: number | undefined, path: Path | string): Row {
  return { name, original, path, tcp1: [], tcp4: [], pps: [], pingUs: [] };
}
function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : `${thrown}`;
}
/** What one row lacks must not cost the others theirs. */
async function pathOr(path: Promise<Path>): Promise<Path | string> {
  return await path.catch((thrown: unknown) => `did not connect: ${textOf(thrown)}`);
}

/** Measures and prints. False: a row of ours is missing. */
export async function benchSleeve(options: SleeveBenchOptions): Promise<boolean> {
  await using lab = await Lab.open();
  using bench = await Netbench.compile();
  const isWanted = (name: string) =>
    options.only.length === 0 || options.only.some((part) => name.toLowerCase().includes(part.toLowerCase()));
  const rows: Row[] = [];
  let number = 0;
  for (const segments of [true, false]) {
    const where = segments ? "" : ", no segmentation in the link";
    const hosts = await pair(lab, ++number, segments);
    rows.push(rowOf(`raw link${where}`, undefined, { from: hosts[0], to: hosts[1], address: `10.70.${number}.2` }));
    for (const { name, original, flags } of VARIANTS) {
      if (!isWanted(name + where)) continue;
      const path = sleevePath(await pair(lab, ++number, segments), number, flags);
      rows.push(rowOf(name + where, original, await pathOr(path)));
    }
  }
  for (const of of USERSPACE) {
    if (!isWanted(of.name)) continue;
    const reason = missing(of);
    if (reason !== undefined) {
      rows.push(rowOf(of.name, undefined, reason));
      continue;
    }
    const hosts = await pair(lab, ++number, true);
    const ends = [1, 2].map((last) => ({
      isFirst: last === 1,
      underlay: `10.70.${number}.${last}`,
      inside: `10.73.${number}.${last}`,
    })) as [End, End];
    rows.push(rowOf(of.name, undefined, await pathOr(userspacePath(of, hosts, ends))));
  }
  const measure = async (figure: "tcp1" | "tcp4" | "pps" | "pingUs", ask: (path: Path) => Promise<number>) => {
    for (const row of rows) {
      if (typeof row.path === "string") continue;
      try {
        row[figure].push(await ask(row.path));
      } catch (thrown) {
        row.path = `did not carry ${figure}: ${textOf(thrown)}`;
      }
    }
  };
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`\rround ${round} of ${options.rounds} `);
    await measure("pingUs", async (path) => (await bench.ping(path, PINGS)).medianUs);
    await measure("tcp1", (path) => bench.tcp(path, 1, options.durationMs));
    await measure("tcp4", (path) => bench.tcp(path, 4, options.durationMs));
    await measure("pps", async (path) => (await bench.udp(path, SMALL_PAYLOAD_BYTES, options.durationMs)).pps);
  }
  process.stderr.write("\n");
  console.log(`\nSleeve, median of ${options.rounds} rounds\n`);
  print(rows);
  const isWhole = !rows.some(({ original, path }) => original !== undefined && typeof path === "string");
  if (options.only.length === 0) await benchInVm("test/bench/fastdp.guest.ts", 400);
  return isWhole;
}

function print(rows: readonly Row[]): void {
  const raw = median(rows[0]?.tcp1 ?? []);
  const cells = rows.map(({ name, original, path, tcp1, tcp4, pps, pingUs }) =>
    typeof path === "string"
      ? [name, "-", "-", "-", "-", "-", "-"]
      : [
          name,
          median(tcp1).toFixed(2),
          median(tcp4).toFixed(2),
          (median(pps) / 1_000).toFixed(1),
          median(pingUs).toFixed(0),
          (median(tcp1) / raw).toFixed(3),
          original === undefined ? "" : (median(tcp1) / original).toFixed(1),
        ],
  );
  console.log(table(["path", "TCP 1 Gbit/s", "TCP 4 Gbit/s", "kpps", "ping us", "TCP 1 : raw", "TCP 1 : original"], cells));
  console.log(
    `original: Weave Net's sleeve, ${ORIGINAL.clear} Gbit/s clear and ${ORIGINAL.encrypted} encrypted, measured earlier`,
  );
  for (const { name, path } of rows) if (typeof path === "string") console.log(`${name}: ${path}`);
}
