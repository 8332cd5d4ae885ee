// SPDX-License-Identifier: Apache-2.0
// Simulated meshes of several sizes on a virtual clock and network: bytes when idle, time and bytes to converge after joins and deaths, memory
// and processor time per peer. Bytes are those on the wire: Ethernet, IP, TCP with its acknowledgements, UDP. One process, one mesh after
// the other; memory is what the whole simulation grew by, shared out.
//   bun test/bench/mesh-sim.ts [peers ...]
import { seeEachOther } from "../sim/harness/checks.ts";
import type { SimHost } from "../sim/harness/host.ts";
import { World } from "../sim/harness/world.ts";
import { table } from "./figures.ts";

const SIZES = [20, 100, 500];
const MANY = 100;
const FORM_LIMIT_MS = 120_000;
const CONVERGE_LIMIT_MS = 60_000;
const CALM_MS = 10_000;
const IDLE_MS = 30_000;

const HEADINGS = [
  "peers",
  "idle B/s each",
  "1 join",
  `${MANY} joins`,
  "1 death",
  `${MANY} deaths`,
  "MB each",
  "CPU ms/s each",
] as const;

/** Time until every running peer has routes to exactly the running ones, and the bytes that all sent meanwhile. */
function converge(world: World, hosts: readonly SimHost[], what: string): string {
  const before = world.network.totalBytes;
  const tookMs = world.runUntil(() => seeEachOther(hosts), CONVERGE_LIMIT_MS, what, 20);
  const kilobytes = (world.network.totalBytes - before) / 1_000;
  world.run(CALM_MS);
  return `${tookMs} ms ${kilobytes.toFixed(0)} kB`;
}

function join(world: World, hosts: SimHost[], count: number): string {
  const known = [...hosts];
  const newcomers = world.addHosts(count);
  hosts.push(...newcomers);
  for (const newcomer of newcomers) newcomer.start([known[world.random.below(known.length)]!.ip]);
  return converge(world, hosts, `${count} joins`);
}

function die(world: World, hosts: SimHost[], count: number): string {
  for (let i = 0; i < count; i++) hosts.splice(world.random.below(hosts.length), 1)[0]!.powerOff();
  return converge(world, hosts, `${count} deaths`);
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function measure(size: number): string[] {
  Bun.gc(true);
  const memoryBefore = process.memoryUsage().rss;
  const world = new World(1);
  world.keepLogs = false;
  const hosts = world.addHosts(size);
  for (const host of hosts) {
    host.start(host === hosts[0] ? [] : [hosts[0]!.ip]);
    world.run(10);
  }
  world.runUntil(() => seeEachOther(hosts), FORM_LIMIT_MS, "the mesh", 50);
  world.run(CALM_MS);
  const [bytes, processor] = [world.network.totalBytes, processorMs()];
  world.run(IDLE_MS);
  const seconds = IDLE_MS / 1_000;
  const idle = (world.network.totalBytes - bytes) / seconds / size;
  const busy = (processorMs() - processor) / seconds / size;
  const memory = (process.memoryUsage().rss - memoryBefore) / 1e6 / size;
  const many = Math.min(MANY, size - 1);
  const changes = [join(world, hosts, 1), join(world, hosts, MANY), die(world, hosts, 1), die(world, hosts, many)];
  return [String(size), idle.toFixed(0), ...changes, memory.toFixed(2), busy.toFixed(2)];
}

const asked = process.argv.slice(2).map(Number);
const rows: string[][] = [];
for (const size of asked.length > 0 ? asked : SIZES) {
  if (!Number.isInteger(size) || size < 2) throw new Error(`'${size}' is not a number of peers`);
  rows.push(measure(size));
}
console.log(`\nSimulated meshes, at most 200 connections each; idle over ${IDLE_MS / 1_000} s of virtual time\n`);
console.log(table(HEADINGS, rows));
