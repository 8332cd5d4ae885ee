// SPDX-License-Identifier: Apache-2.0
// Many short-lived containers on many hosts, daemons killed in between: afterwards no name of any of them is left anywhere.
//
//   h1 … h5 on one segment, 40 containers on each in every round
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { waitFor } from "../../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../../support/weave.ts";
import { atHome, resolvesTo } from "./ask.ts";

const HOSTS = 5;
const CONTAINERS = 40;
const ROUNDS = 3;

let lab: Lab;
let hosts: readonly Host[];

beforeAll(async () => {
  const world = await wire("full", HOSTS);
  lab = world.lab;
  hosts = world.hosts;
  await Promise.all(hosts.map(start));
  await waitForMesh(hosts, 30_000);
});
afterAll(async () => await lab?.close());

async function start(host: Host): Promise<void> {
  await launch(host, "--dns-listen-address", "127.0.0.1:53", ...hosts.slice(0, hosts.indexOf(host)).map((one) => one.address));
}

/** Attaches without the cost of starting a command. */
async function attachByApi(host: Host, target: string, address: string): Promise<void> {
  const body = JSON.stringify({ target, addresses: [address] });
  const headers = { "Content-Type": "application/json" };
  const response = await fetch("http://weave/v1/attach", {
    method: "POST",
    headers,
    body,
    unix: host.file("/run/weave/api.sock"),
  });
  if (!response.ok) throw new Error(`attach on ${host.name}: ${response.status} ${await response.text()}`);
}

async function entries(host: Host): Promise<number> {
  return (await statusOf(host)).dns?.entries ?? -1;
}

/** One host's containers come, are named, and go; `midway` runs while they are there. */
async function live(host: Host, round: number, midway: () => Promise<void>): Promise<void> {
  const number = hosts.indexOf(host) + 1;
  const names = Array.from({ length: CONTAINERS }, (_, index) => `n${round}h${number}c${index}`);
  const containers = await host.containers(...names);
  for (const [index, container] of containers.entries()) {
    await attachByApi(host, container.path, `10.2.${number}.${index + 1}/16`);
  }
  await midway();
  await host.must(["sh", "-c", names.map((name) => `ip netns delete ${name}`).join(" && ")]);
}

test("names of short-lived containers leave nothing behind, also where daemons are killed", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const killed = hosts[round] as Host;
    await Promise.all(
      hosts.map((host) =>
        live(host, round, async () => {
          if (host !== killed) return;
          await host.killDaemon();
        }),
      ),
    );
    await start(killed); // its containers died while it was dead
    await waitForMesh(hosts, 30_000);
  }
  for (const host of hosts) {
    await waitFor(`no names on ${host.name}`, async () => (await entries(host)) === 0, {
      deadlineMs: 60_000,
      everyMs: 250,
      show: () => entries(host),
    });
  }
  const [first] = hosts as [Host];
  const last = await first.container("last");
  await attachByApi(first, last.path, "10.2.1.1/16");
  await Promise.all(hosts.map((host) => resolvesTo(atHome(host), "last.weave.local", ["10.2.1.1"])));
  expect(await Promise.all(hosts.map(entries))).toEqual(hosts.map(() => 1));
}, 300_000);
