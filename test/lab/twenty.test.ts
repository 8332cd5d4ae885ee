// SPDX-License-Identifier: Apache-2.0
// Twenty daemons on one segment become a full mesh, and then are quiet. How long that takes depends on what else the machine does, so
// `npm run bench -- mesh` measures it, ten times; here a lost race, which costs a back-off or a time-out, must show.
import { afterAll, beforeAll, test } from "bun:test";
import type { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { connectByApi, launch, waitForFullMesh, waitForMesh } from "../support/weave.ts";

let lab: Lab;
let hosts: readonly Host[];

beforeAll(async () => {
  ({ lab, hosts } = await wire("full", 20));
  await Promise.all(hosts.map((host) => launch(host)));
}, 60_000);
afterAll(async () => await lab?.close());

test("20 daemons, of which 19 are told of the first, are a full mesh without a pause", async () => {
  const [first, ...others] = hosts as [Host, ...Host[]];
  await Promise.all([waitForFullMesh(hosts, 12_000), ...others.map((host) => connectByApi(host, first.address))]);
});

/** Bytes per second that each host sends in the next 3 s, all frames counted. */
async function sentPerSecond(): Promise<number[]> {
  const SECONDS = 3;
  const sent = async () =>
    await Promise.all(hosts.map(async (host) => Number(await host.must(["cat", "/sys/class/net/e1/statistics/tx_bytes"]))));
  const before = await sent();
  await Bun.sleep(SECONDS * 1_000);
  return (await sent()).map((bytes, index) => (bytes - (before[index] ?? 0)) / SECONDS);
}

test("with nothing to do they soon say next to nothing", async () => {
  await waitForMesh(hosts, 30_000);
  // 200 B/s of control traffic by design; with probes, acknowledgements and the kernel's own neighbour discovery a little more.
  let rates: number[] = [];
  await waitFor(
    "20 quiet hosts",
    async () => {
      rates = await sentPerSecond();
      return Math.max(...rates) < 1_000;
    },
    { deadlineMs: 30_000, show: () => `${Math.max(...rates).toFixed(0)} B/s from the busiest host` },
  );
}, 90_000);
