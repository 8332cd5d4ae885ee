// SPDX-License-Identifier: Apache-2.0
// What a mesh costs: the simulation's figures for 20, 100 and 500 peers, and beside it twenty real daemons on one segment: time to a
// full mesh ten times over, bytes, memory and processor time when idle, time until a dead peer is noticed.
import { existsSync, readFileSync } from "node:fs";
import type { Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { connectByApi, launch, overviewOf, waitForFullMesh } from "../support/weave.ts";
import { median, quantile, table } from "./figures.ts";

export interface MeshOptions {
  readonly daemons: number;
  readonly times: number;
  readonly idleSeconds: number;
}

const SIMULATION = new URL("./mesh-sim.ts", import.meta.url).pathname;

/** Runs the simulation in a process of its own, so that its memory is only its own. */
async function simulate(): Promise<boolean> {
  if (!existsSync(SIMULATION)) {
    console.log("not measured: the simulation is not there");
    return false;
  }
  const child = Bun.spawn([process.execPath, SIMULATION], { stdout: "inherit", stderr: "inherit" });
  return (await child.exited) === 0;
}

/** Bytes a host has sent to and received from the segment. */
async function wireBytes(host: Host): Promise<number> {
  const [sent, received] = await Promise.all(
    ["tx", "rx"].map((way) => host.must(["cat", `/sys/class/net/e1/statistics/${way}_bytes`])),
  );
  return Number(sent) + Number(received);
}

/** Processor time a process has used, in seconds. */
export function processorSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const TICKS_PER_SECOND = 100;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function megabytes(pid: number, field: "VmRSS" | "RssAnon"): number {
  const kilobytes = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) / 1_024;
}

async function startAll(hosts: readonly Host[]): Promise<void> {
  await Promise.all(hosts.map((host) => launch(host)));
}

async function fullMeshMs(hosts: readonly Host[]): Promise<number> {
  const [first, ...others] = hosts;
  const target = first?.address ?? "";
  const [tookMs] = await Promise.all([waitForFullMesh(hosts, 30_000), ...others.map((host) => connectByApi(host, target))]);
  return tookMs;
}

/** Twenty real daemons. */
async function daemons({ daemons: size, times, idleSeconds }: MeshOptions): Promise<void> {
  const { lab, hosts } = await wire("full", size);
  await using _ = lab;
  const formed: number[] = [];
  for (let time = 1; time <= times; time++) {
    await startAll(hosts);
    formed.push(await fullMeshMs(hosts));
    process.stderr.write(`full mesh ${time} of ${times}: ${formed.at(-1)?.toFixed(0)} ms\n`);
    if (time < times) await Promise.all(hosts.map((host) => host.mustWeave("reset", "--force")));
  }
  const pids = hosts.map((host) => host.daemonPid() ?? 0);
  // What follows the forming is not idling yet.
  await Bun.sleep(5_000);
  const [bytesBefore, cpuBefore] = [await Promise.all(hosts.map(wireBytes)), pids.map(processorSeconds)];
  process.stderr.write(`idle for ${idleSeconds} s\n`);
  await Bun.sleep(idleSeconds * 1_000);
  const [bytesAfter, cpuAfter] = [await Promise.all(hosts.map(wireBytes)), pids.map(processorSeconds)];
  const bytes = bytesAfter.map((after, index) => (after - (bytesBefore[index] ?? 0)) / idleSeconds);
  const cpu = cpuAfter.map((after, index) => ((after - (cpuBefore[index] ?? 0)) / idleSeconds) * 100);
  const rows = [
    ["full mesh, ms", ...spread(formed, 0), "< 2000"],
    ["idle, bytes/s per host (all frames, both ways)", ...spread(bytes, 0), "< 200 control"],
    [
      "resident memory, MB",
      ...spread(
        pids.map((pid) => megabytes(pid, "VmRSS")),
        1,
      ),
      "< 50",
    ],
    [
      "of it private, MB",
      ...spread(
        pids.map((pid) => megabytes(pid, "RssAnon")),
        1,
      ),
      "",
    ],
    ["processor when idle, %", ...spread(cpu, 3), "< 0.1"],
    ["dead peer noticed by all, ms (silent cut)", ...spread(await deathsMs(hosts, lab.segment(0)), 0), "< 3000"],
  ];
  console.log(
    `\n${size} daemons on one segment of this machine, which shares its ${navigator.hardwareConcurrency} processors among them\n`,
  );
  console.log(table(["", "least", "median", "p90", "most", "goal"], rows));
}

function spread(values: readonly number[], digits: number): string[] {
  return [Math.min(...values), median(values), quantile(values, 0.9), Math.max(...values)].map((value) => value.toFixed(digits));
}

/** Cuts off three hosts one after the other, and takes the time until nobody counts it among its connections. */
async function deathsMs(hosts: readonly Host[], segment: { cut(host: Host): Promise<void> }): Promise<number[]> {
  const took: number[] = [];
  let alive = [...hosts];
  for (const victim of hosts.slice(-3)) {
    alive = alive.filter((host) => host !== victim);
    await segment.cut(victim);
    const left = new RegExp(`[( ]${alive.length - 1} established`);
    let waiting = [...alive];
    const { tookMs } = await waitFor(
      `${victim.name} to be missed`,
      async () => {
        const texts = await Promise.all(waiting.map(overviewOf));
        waiting = waiting.filter((_, index) => !left.test(texts[index]?.match(/Connections:.*/)?.[0] ?? ""));
        return waiting.length === 0;
      },
      { deadlineMs: 30_000, everyMs: 50 },
    );
    took.push(tookMs);
  }
  return took;
}

export async function benchMesh(options: MeshOptions): Promise<boolean> {
  const simulated = await simulate();
  await daemons(options);
  return simulated;
}
