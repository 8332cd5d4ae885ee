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
}

interface Row {
  readonly name: string;
  readonly path: Path;
  readonly tcp1: number[];
  readonly tcp4: number[];
  readonly pps: number[];
  readonly pingUs: number[];
}

const SMALL_PAYLOAD_BYTES = 32;
const PINGS = 300;
/** What makes a super-packet cross a link whole; a link without it gets packets. */
const SEGMENTATION = ["gso", "tso", "tx-udp-segmentation", "tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"];
const VARIANTS = [
  { name: "sleeve, clear", flags: ["--no-fastdp"] },
  { name: "sleeve, encrypted", flags: ["--no-fastdp", "--password", "bench"] },
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

/** Measures and prints. */
export async function benchSleeve(options: SleeveBenchOptions): Promise<boolean> {
  await using lab = await Lab.open();
  using bench = await Netbench.compile();
  const rows: Row[] = [];
  let number = 0;
  for (const segments of [true, false]) {
    const where = segments ? "" : ", no segmentation in the link";
    for (const { name, flags } of [{ name: "raw link", flags: undefined }, ...VARIANTS]) {
      const hosts = await pair(lab, ++number, segments);
      const raw = { from: hosts[0], to: hosts[1], address: `10.70.${number}.2` };
      const path = flags ? await sleevePath(hosts, number, flags) : raw;
      rows.push({ name: name + where, path, tcp1: [], tcp4: [], pps: [], pingUs: [] });
    }
  }
  const skipped: string[] = [];
  for (const of of USERSPACE) {
    const reason = missing(of);
    if (reason !== undefined) {
      skipped.push(`${of.name}: ${reason}`);
      continue;
    }
    const hosts = await pair(lab, ++number, true);
    const ends = [1, 2].map((last) => ({
      isFirst: last === 1,
      underlay: `10.70.${number}.${last}`,
      inside: `10.73.${number}.${last}`,
    })) as [End, End];
    const path = await userspacePath(of, hosts, ends).catch((thrown: unknown) => void skipped.push(`${thrown}`));
    if (path) rows.push({ name: of.name, path, tcp1: [], tcp4: [], pps: [], pingUs: [] });
  }
  for (let round = 1; round <= options.rounds; round++) {
    process.stderr.write(`\rround ${round} of ${options.rounds} `);
    for (const { path, pingUs } of rows) pingUs.push((await bench.ping(path, PINGS)).medianUs);
    for (const { path, tcp1 } of rows) tcp1.push(await bench.tcp(path, 1, options.durationMs));
    for (const { path, tcp4 } of rows) tcp4.push(await bench.tcp(path, 4, options.durationMs));
    for (const { path, pps } of rows) pps.push((await bench.udp(path, SMALL_PAYLOAD_BYTES, options.durationMs)).pps);
  }
  process.stderr.write("\n");
  console.log(`\nSleeve, median of ${options.rounds} rounds\n`);
  const raw = median(rows[0]?.tcp1 ?? []);
  const cells = rows.map(({ name, tcp1, tcp4, pps, pingUs }) => [
    name,
    median(tcp1).toFixed(2),
    median(tcp4).toFixed(2),
    (median(pps) / 1_000).toFixed(1),
    median(pingUs).toFixed(0),
    (median(tcp1) / raw).toFixed(3),
  ]);
  console.log(table(["path", "TCP 1 Gbit/s", "TCP 4 Gbit/s", "kpps", "ping us", "TCP 1 : raw"], cells));
  for (const line of skipped) console.log(`not measured: ${line}`);
  await benchInVm("test/bench/fastdp.guest.ts", 400);
  return true;
}
