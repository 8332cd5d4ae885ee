// SPDX-License-Identifier: Apache-2.0
// Hardware addresses that move, collide or come in masses: tables stay bounded, others are unharmed, it is counted.
//
//   h1 [c1, m1] ── h2 [c2, m2] ── h3 [c3]
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Station } from "../support/delivery.ts";
import { FrameSocket, PROBE_ETHERTYPE } from "../support/frames.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { stableBytes } from "../support/libc.ts";
import { type Mesh, mesh } from "../support/shapes.ts";
import { PingRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { attach, statusOf } from "../support/weave.ts";

let world: Mesh;
let hosts: [Host, Host, Host];
let containers: [Container, Container, Container];

beforeAll(async () => {
  world = await mesh("chain", 3);
  hosts = world.hosts as typeof hosts;
  containers = world.containers as typeof containers;
});
afterAll(async () => await world?.lab.close());

const MOVING = "02:57:4c:00:00:01";

/** Gives a container's link another hardware address. */
async function setMac(container: Container, mac: string): Promise<void> {
  await container.must(["ip", "link", "set", "ethwe", "address", mac]);
}

/** Lines of the bridge's forwarding table. */
async function bridgeEntries(host: Host): Promise<number> {
  const table = JSON.parse(await host.must(["bridge", "-j", "fdb", "show", "br", "weave"])) as unknown[];
  return table.length;
}

describe("one address on two hosts", () => {
  test("moves at once when it announces itself, and comes back", async () => {
    const [h1, h2] = hosts;
    const [, , c3] = containers;
    const m1 = await attach(h1, "m1", "10.2.1.77/24");
    expect(await c3.reaches("10.2.1.77")).toBe(true);
    for (const [from, to, name] of [
      [h1, h2, "m2"],
      [h2, h1, "m3"],
    ] as const) {
      const old = from === h1 ? m1 : undefined;
      await from.mustWeave("detach", "10.2.1.77/24", old ? "m1" : "m2");
      const moved = await attach(to, name, "10.2.1.77/24");
      expect(await c3.reaches("10.2.1.77", 2_000)).toBe(true);
      expect(await moved.reaches("10.2.1.3", 2_000)).toBe(true);
    }
    await h1.mustWeave("detach", "10.2.1.77/24", "m3");
  });

  test("a silent move is found with the first frame from the new place", async () => {
    const [h1, h2] = hosts;
    const [, , c3] = containers;
    const here = await attach(h1, "s1", "10.2.1.78/24");
    const there = await attach(h2, "s2", "10.2.1.79/24");
    await setMac(here, MOVING);
    using watcher = await Station.open(c3, 1);
    using first = await Station.open(here, 2);
    first.send("ff:ff:ff:ff:ff:ff", 1);
    await waitFor("the address to be learnt", () => watcher.copies(2, 1) === 1);
    await here.must(["ip", "link", "set", "ethwe", "down"]);
    await setMac(there, MOVING);
    using second = await Station.open(there, 3);
    second.send("ff:ff:ff:ff:ff:ff", 1);
    await waitFor("the move to be learnt", () => watcher.copies(3, 1) === 1);
    watcher.send(MOVING, 2);
    await waitFor("a frame to the new place", () => second.copies(1, 2) === 1);
    expect(first.copies(1, 2)).toBe(0);
    for (const [host, name] of [
      [h1, "s1"],
      [h2, "s2"],
    ] as const)
      await host.mustWeave("detach", name);
  });

  test("at the same time does not harm others, and is counted", async () => {
    const [h1, h2] = hosts;
    const [c1, , c3] = containers;
    const a = await attach(h1, "d1", "10.2.1.80/24");
    const b = await attach(h2, "d2", "10.2.1.81/24");
    for (const container of [a, b]) await setMac(container, "02:57:4c:00:00:02");
    using one = await Station.open(a, 1);
    using two = await Station.open(b, 2);
    const ping = await PingRun.start(c1, "10.2.1.3");
    const before = await movesCounted(hosts[2]);
    for (let round = 1; round <= 100; round++) {
      one.send("ff:ff:ff:ff:ff:ff", round);
      two.send("ff:ff:ff:ff:ff:ff", round);
      await Bun.sleep(2);
    }
    expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
    expect(c3.name).toBe("c3");
    expect(await movesCounted(hosts[2])).toBeGreaterThan(before);
    await h1.mustWeave("detach", "d1");
    await h2.mustWeave("detach", "d2");
  });
});

/** What metrics say about addresses that changed their place. */
async function movesCounted(host: Host): Promise<number> {
  const response = await fetch("http://weave/metrics", { unix: host.file("/run/weave/api.sock") });
  const lines = (await response.text()).split("\n").filter((line) => /^weave_\w*mov/i.test(line));
  expect(lines.length).toBeGreaterThan(0);
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Sends one frame from each of `count` source addresses, as fast as they go. */
async function flood(container: Container, count: number, addressOf: (index: number) => number): Promise<void> {
  using socket = new FrameSocket(container.netns, "ethwe");
  const frame = stableBytes(64);
  const view = new DataView(frame.buffer);
  frame.fill(0xff, 0, 6);
  view.setUint16(12, PROBE_ETHERTYPE);
  for (let index = 0; index < count; index++) {
    view.setUint16(6, 0x0257);
    view.setUint32(8, addressOf(index));
    socket.send(frame);
    // Let the test's other sockets and timers live.
    if (index % 512 === 511) await Bun.sleep(0);
  }
}

describe("masses of addresses", () => {
  test("300,000 random ones from one container leave tables bounded and others unharmed", async () => {
    const [h1] = hosts;
    const [c1] = containers;
    const attacker = await attach(h1, "attacker", "10.2.1.90/24");
    const pings = [await PingRun.start(c1, "10.2.1.3"), await PingRun.start(c1, "10.2.1.2")];
    let state = 0x2545f491;
    await flood(attacker, 300_000, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state;
    });
    for (const ping of pings) expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
    for (const host of hosts) {
      expect(await bridgeEntries(host)).toBeLessThan(5_000);
      expect((await statusOf(host)).router.macs.length).toBeLessThan(5_000);
    }
    // The attacker's own address still works, and nobody else was forgotten.
    expect(await attacker.reaches("10.2.1.3")).toBe(true);
    const response = await fetch("http://weave/metrics", { unix: h1.file("/run/weave/api.sock") });
    const drops = (await response.text())
      .split("\n")
      .filter((line) => /dropped.*reason="[^"]*mac|reason="[^"]*limit/i.test(line));
    expect(drops.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)).toBeGreaterThan(100_000);
    await h1.mustWeave("detach", "attacker");
  });

  test("10,000 honest ones are all known everywhere when the operator allows them", async () => {
    const [h1, , h3] = hosts;
    const { code } = await h1.weave("attach", "--help");
    expect(code).toBe(0);
    // Forty containers with 250 addresses each stay below the limit of a port.
    const senders = await Promise.all(
      Array.from({ length: 40 }, (_, index) => attach(h1, `many${index}`, `10.2.2.${index + 1}/24`)),
    );
    for (const [index, sender] of senders.entries()) await flood(sender, 250, (address) => (index << 16) | address);
    await waitFor("10,000 addresses on h3", async () => (await statusOf(h3)).router.macs.length >= 10_000, {
      show: async () => (await statusOf(h3)).router.macs.length,
    });
    const [c1] = containers;
    expect(await c1.reaches("10.2.1.3")).toBe(true);
  });
});
