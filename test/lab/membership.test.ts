// SPDX-License-Identifier: Apache-2.0
// Hosts come, go, are cut off and come back. Each test has a lab of its own.
import { describe, expect, test } from "bun:test";
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { killAllIn, namespaceOf } from "../support/processes.ts";
import { mesh, wire } from "../support/shapes.ts";
import { PingRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch, neighboursOf, reachablePeers, statusOf, waitForMesh, waitForRoutes } from "../support/weave.ts";

describe("joining", () => {
  test("a host connected at run time is found by all others, and its containers are reached", async () => {
    await using world = await mesh("full", 3);
    const [h1, h2, h3] = world.hosts as [Host, Host, Host];
    const late = await newcomer(world.lab, [h1, h2, h3]);
    await launch(late);
    expect(reachablePeers(await statusOf(late))).toEqual(["late"]);
    await late.mustWeave("connect", h1.address);
    const everybody = [...world.hosts, late];
    await waitForMesh(everybody, 5_000);
    // Discovery: it was told of one host and has a connection with each.
    await waitFor("connections with all", async () => neighboursOf(await statusOf(late)).join() === "h1,h2,h3", {
      deadlineMs: 5_000,
    });
    expect((await late.mustWeave("status", "targets")).trim()).toBe(h1.address);
    const container = await attach(late, "c9", "10.2.1.9/24");
    for (const other of world.containers) expect(await other.reaches("10.2.1.9")).toBe(true);
    expect(await container.reaches("10.2.1.1")).toBe(true);
  });

  test("hosts may start in any order", async () => {
    const { lab, hosts, targets } = await wire("chain", 3);
    await using _ = lab;
    // h3 wants h2, h2 wants h1; the wanted come last.
    for (const host of [...hosts].reverse()) await launch(host, ...(targets.get(host) ?? []));
    await waitForMesh(hosts, 10_000);
  });

  test("without discovery a host connects to its targets only", async () => {
    const { lab, hosts } = await wire("full", 3);
    await using _ = lab;
    const [h1, h2, h3] = hosts as [Host, Host, Host];
    for (const host of hosts) await launch(host, "--no-discovery", ...(host === h1 ? [] : [h1.address]));
    await waitForMesh(hosts);
    expect(neighboursOf(await statusOf(h1))).toEqual(["h2", "h3"]);
    expect(neighboursOf(await statusOf(h2))).toEqual(["h1"]);
    expect(neighboursOf(await statusOf(h3))).toEqual(["h1"]);
  });

  test("peers are reached over IPv6 alone", async () => {
    const { lab, hosts } = await wire("full", 2);
    await using _ = lab;
    const [h1, h2] = hosts as [Host, Host];
    for (const host of hosts) await host.must(["ip", "-4", "address", "flush", "dev", "e1"]);
    await launch(h1);
    await launch(h2, h1.address6);
    await waitForMesh(hosts);
    const [c1] = [await attach(h1, "c1", "10.2.1.1/24"), await attach(h2, "c2", "10.2.1.2/24")];
    expect(await c1.reaches("10.2.1.2")).toBe(true);
  });
});

describe("leaving", () => {
  test("a forgotten target is not dialled again, and 'connect --replace' replaces all", async () => {
    const { lab, hosts } = await wire("full", 3);
    await using _ = lab;
    const [h1, h2, h3] = hosts as [Host, Host, Host];
    for (const host of hosts) await launch(host, "--no-discovery");
    await h1.mustWeave("connect", h2.address);
    await waitForMesh([h1, h2]);
    await h1.mustWeave("forget", h2.address);
    expect((await h1.mustWeave("status", "targets")).trim()).toBe("");
    // A stopped daemon's host goes on forwarding, so its connection would stay; one that was reset is gone.
    await h2.mustWeave("reset");
    await waitFor("the connection to end", async () => neighboursOf(await statusOf(h1)).length === 0, { deadlineMs: 10_000 });
    await launch(h2, "--no-discovery");
    const { found } = await waitFor("a look at h1", () => statusOf(h1));
    expect(found.router.connections).toEqual([]);
    await h1.mustWeave("connect", h2.address);
    await h1.mustWeave("connect", "--replace", h3.address);
    expect((await h1.mustWeave("status", "targets")).trim()).toBe(h3.address);
  });

  test("a host that vanishes is routed around in under 3 s", async () => {
    await using world = await mesh("ring", 4);
    const [h1, h2, h3, h4] = world.hosts as [Host, Host, Host, Host];
    const [c1] = world.containers as [Container];
    const relay = relayTowards(await statusOf(h1), h3) === "h2" ? h2 : h4;
    const ping = await PingRun.start(c1, "10.2.1.3", 0.01);
    await ping.more(20);
    for (const segment of world.lab.segmentsOf(relay)) await segment.cut(relay);
    await ping.more(50, 5_000);
    expect((await ping.stop()).outageMs).toBeLessThan(3_000);
    const rest = world.hosts.filter((host) => host !== relay);
    await waitForRoutes(rest, 4_000);
  });

  test("a host that loses its power is routed around in under 3 s", async () => {
    await using world = await mesh("ring", 4);
    const [h1, h2, h3, h4] = world.hosts as [Host, Host, Host, Host];
    const [c1] = world.containers as [Container];
    const relay = relayTowards(await statusOf(h1), h3) === "h2" ? h2 : h4;
    const ping = await PingRun.start(c1, "10.2.1.3", 0.01);
    await ping.more(20);
    killAllIn(new Set([namespaceOf(relay.pid, "mnt") ?? ""]));
    await ping.more(50, 5_000);
    expect((await ping.stop()).outageMs).toBeLessThan(3_000);
  });
});

describe("partitions", () => {
  test("both sides go on without losing a packet, and heal by themselves", async () => {
    await using world = await mesh("full", 4);
    const [h1, h2, h3, h4] = world.hosts as [Host, Host, Host, Host];
    const [c1, , c3] = world.containers as [Container, Container, Container, Container];
    const pings = [await PingRun.start(c1, "10.2.1.2"), await PingRun.start(c3, "10.2.1.4")];
    const segment = world.lab.segment(0);
    await segment.partition([
      [h1, h2],
      [h3, h4],
    ]);
    await Promise.all([waitForRoutes([h1, h2], 8_000), waitForRoutes([h3, h4], 8_000)]);
    expect(await c1.reaches("10.2.1.3", 0)).toBe(false);
    // Life goes on: a container comes on one side.
    await attach(h2, "during", "10.2.1.50/24");
    expect(await c1.reaches("10.2.1.50")).toBe(true);
    await segment.join();
    await waitForMesh(world.hosts, 15_000);
    expect(await c3.reaches("10.2.1.50")).toBe(true);
    expect(await c1.reaches("10.2.1.3")).toBe(true);
    for (const ping of pings) expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
  });
});

/** One more host on the segment of the others. */
async function newcomer(lab: Lab, others: readonly Host[]): Promise<Host> {
  const [late] = (await lab.addHosts("late")) as [Host];
  await lab.segment(0).plugIn(late, others.length + 1);
  return late;
}

/** Nickname of the neighbour by which a host reaches another. */
function relayTowards(status: Awaited<ReturnType<typeof statusOf>>, target: Host): string {
  const named = new Map(status.router.peers.map(({ name, nickname }) => [nickname, name]));
  const via = status.router.unicastRoutes.find(({ destination }) => destination === named.get(target.name))?.via;
  return status.router.peers.find(({ name }) => name === via)?.nickname ?? "";
}
