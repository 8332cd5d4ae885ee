// SPDX-License-Identifier: Apache-2.0
// The last table of `npm run bench -- sleeve`, inside the virtual machine, where the kernel has WireGuard: encrypted fastdp beside clear fastdp.
import { expect, test } from "bun:test";
import { type Mesh, mesh } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { statusOf } from "../support/weave.ts";
import { median, table } from "./figures.ts";
import { Netbench, type Path } from "./netbench.ts";

const ROUNDS = 5;
const DURATION_MS = 1_500;
const SMALL_PAYLOAD_BYTES = 32;

test("figures", async () => {
  process.env["TMPDIR"] = "/tmp"; // hosts of a lab have another /run, where the machine's temporary files are
  using bench = await Netbench.compile();
  const rows: { name: string; path: Path; tcp1: number[]; pps: number[]; pingUs: number[] }[] = [];
  await using meshes = new AsyncDisposableStack();
  for (const [name, flags] of [
    ["fastdp, clear", []],
    ["fastdp, encrypted", ["--password", "bench"]],
  ] as const) {
    const made: Mesh = meshes.use(await mesh("full", 2, ...flags));
    for (const host of made.hosts) {
      await waitFor(`${name} on ${host.name}`, async () => (await statusOf(host)).router.connections[0]?.overlay === "fastdp");
    }
    const [from, to] = made.containers;
    if (from === undefined || to === undefined) throw new Error("a mesh of two has two containers");
    rows.push({ name, path: { from, to, address: "10.2.1.2" }, tcp1: [], pps: [], pingUs: [] });
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { path, pingUs } of rows) pingUs.push((await bench.ping(path, 100)).medianUs);
    for (const { path, tcp1 } of rows) tcp1.push(await bench.tcp(path, 1, DURATION_MS));
    for (const { path, pps } of rows) pps.push((await bench.udp(path, SMALL_PAYLOAD_BYTES, DURATION_MS)).pps);
  }
  const clear = median(rows[0]?.tcp1 ?? []);
  const cells = rows.map(({ name, tcp1, pps, pingUs }) => [
    name,
    (median(tcp1) * 1_000).toFixed(1),
    (median(pps) / 1_000).toFixed(2),
    median(pingUs).toFixed(0),
    (median(tcp1) / clear).toFixed(3),
  ]);
  console.log(table(["in the virtual machine", "TCP 1 Mbit/s", "kpps", "ping us", "TCP 1 : clear"], cells));
  expect(clear).toBeGreaterThan(0);
}, 300_000);
