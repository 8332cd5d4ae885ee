// SPDX-License-Identifier: Apache-2.0
// Hardware addresses that move, collide or come in masses: tables stay bounded, others are unharmed, it is counted. Containers may
// only use the address weave gave them; virtual machines behind a tap may use many.
//
//   h1 [c1, taps] ── h2 [c2, taps] ── h3 [c3]
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Station } from "../support/delivery.ts";
import { FrameSocket, PROBE_ETHERTYPE } from "../support/frames.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { stableBytes } from "../support/libc.ts";
import { type Mesh, mesh } from "../support/shapes.ts";
import { VirtualMachine } from "../support/tap.ts";
import { PingRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { attach, metric, statusOf } from "../support/weave.ts";

const EVERYBODY = "ff:ff:ff:ff:ff:ff";
let world: Mesh;
let hosts: [Host, Host, Host];
let containers: [Container, Container, Container];

beforeAll(async () => {
  world = await mesh("chain", 3);
  hosts = world.hosts as typeof hosts;
  containers = world.containers as typeof containers;
});
afterAll(async () => await world?.lab.close());

/** Lines of the bridge's forwarding table. */
async function bridgeEntries(host: Host): Promise<number> {
  const table = JSON.parse(await host.must(["bridge", "-j", "fdb", "show", "br", "weave"])) as unknown[];
  return table.length;
}

/** First two bytes of the addresses in a flood: 02:57 for attackers, 02:58 for honest ones. */
const ATTACKER = 0x0257;
const HONEST = 0x0258;

/** Sends a broadcast frame from each of `count` source addresses. */
async function flood(
  send: (frame: Uint8Array) => void,
  count: number,
  prefix: number,
  addressOf: (index: number) => number,
): Promise<void> {
  const frame = stableBytes(64);
  const view = new DataView(frame.buffer);
  frame.fill(0xff, 0, 6);
  view.setUint16(12, PROBE_ETHERTYPE);
  for (let index = 0; index < count; index++) {
    view.setUint16(6, prefix);
    view.setUint32(8, addressOf(index));
    send(frame);
    // Let the test's other sockets and timers live.
    if (index % 512 === 511) await Bun.sleep(0);
  }
}

/** Numbers that look random and are the same in every run. */
function randomAddresses(): () => number {
  let state = 0x2545f491;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
}

describe("one address on two hosts", () => {
  test("an IP address that moves with its container is reached at the new place at once, and back again", async () => {
    const [h1, h2] = hosts;
    const [, , c3] = containers;
    const steps = [
      [h1, "m1"],
      [h2, "m2"],
      [h1, "m3"],
    ] as const;
    for (const [host, name] of steps) {
      const here = await attach(host, name, "10.2.1.77/24");
      expect(await c3.reaches("10.2.1.77", 2_000)).toBe(true);
      expect(await here.reaches("10.2.1.3", 2_000)).toBe(true);
      await host.mustWeave("detach", "10.2.1.77/24", name);
    }
  });

  test("a machine that moves without a word is found with its first frame from the new place", async () => {
    const [h1, h2] = hosts;
    const MOVING = "02:57:4c:00:00:01";
    using here = await VirtualMachine.boot(h1, "s1", "10.2.1.78/24");
    using there = await VirtualMachine.boot(h2, "s2", "10.2.1.79/24");
    using watcher = await Station.open(containers[2], 1);
    here.send(MOVING, EVERYBODY, 2, 1);
    await waitFor("the address to be learnt", () => watcher.copies(2, 1) === 1);
    watcher.send(MOVING, 1);
    await waitFor("a frame to the old place", () => here.copies(1, 1) === 1);
    expect(there.copies(1, 1)).toBe(0);
    there.send(MOVING, EVERYBODY, 3, 1);
    await waitFor("the move to be learnt", () => watcher.copies(3, 1) === 1);
    watcher.send(MOVING, 2);
    await waitFor("a frame to the new place", () => there.copies(1, 2) === 1);
    expect(here.copies(1, 2)).toBe(0);
  });

  test("an address used in two places at the same time does not harm others, and its moves are counted", async () => {
    const [h1, h2, h3] = hosts;
    const [c1] = containers;
    const TWICE = "02:57:4c:00:00:02";
    using one = await VirtualMachine.boot(h1, "d1", "10.2.1.80/24");
    using two = await VirtualMachine.boot(h2, "d2", "10.2.1.81/24");
    const ping = await PingRun.start(c1, "10.2.1.3");
    const before = await metric(h3, /^weave_switch_events_total\{event="mac-moved"\}/);
    for (let round = 1; round <= 100; round++) {
      one.send(TWICE, EVERYBODY, 1, round);
      two.send(TWICE, EVERYBODY, 2, round);
      await Bun.sleep(2);
    }
    expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
    expect(await metric(h3, /^weave_switch_events_total\{event="mac-moved"\}/)).toBeGreaterThan(before + 50);
  });
});

describe("masses of addresses", () => {
  test("a container that sends from 300,000 random ones harms nobody and fills no table", async () => {
    const [h1] = hosts;
    const [c1] = containers;
    const attacker = await attach(h1, "attacker", "10.2.1.90/24");
    const pings = [await PingRun.start(c1, "10.2.1.3"), await PingRun.start(c1, "10.2.1.2")];
    const before = await metric(h1, /^weave_frames_dropped_total/).catch(() => 0);
    {
      using socket = new FrameSocket(attacker.netns, "ethwe");
      await flood((frame) => socket.send(frame), 300_000, ATTACKER, randomAddresses());
    }
    for (const ping of pings) expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
    for (const host of hosts) {
      expect(await bridgeEntries(host)).toBeLessThan(200);
      expect((await statusOf(host)).router.macs.length).toBeLessThan(200);
    }
    expect(await attacker.reaches("10.2.1.3")).toBe(true);
    expect(await metric(h1, /^weave_frames_dropped_total/)).toBeGreaterThan(before + 290_000);
  });

  test("a machine that sends from 300,000 random ones gets the share of a port, and others are not forgotten", async () => {
    const [h1] = hosts;
    const [c1] = containers;
    using attacker = await VirtualMachine.boot(h1, "flooder", "10.2.1.91/24");
    const pings = [await PingRun.start(c1, "10.2.1.3"), await PingRun.start(c1, "10.2.1.2")];
    await flood((frame) => attacker.sendFrame(frame), 300_000, ATTACKER, randomAddresses());
    for (const ping of pings) expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
    const SHARE_OF_A_PORT = 16_384;
    for (const host of hosts) {
      expect(await bridgeEntries(host)).toBeLessThan(SHARE_OF_A_PORT + 1_000);
      expect((await statusOf(host)).router.macs.length).toBeLessThan(SHARE_OF_A_PORT + 1_000);
    }
    await h1.mustWeave("detach", "--tap", "flooder");
  });

  test("10,000 honest ones are all known everywhere", async () => {
    const [, h2, h3] = hosts;
    using machine = await VirtualMachine.boot(h2, "many", "10.2.1.92/24");
    const known = async (host: Host) => (await statusOf(host)).router.macs.filter(({ mac }) => mac.startsWith("02:58:")).length;
    const speak = () =>
      flood(
        (frame) => machine.sendFrame(frame),
        10_000,
        HONEST,
        (index) => index,
      );
    await speak();
    for (const host of [hosts[0], h3]) {
      // Honest machines speak more than once: of 10,000 broadcasts at one go a busy kernel may drop some.
      const allKnown = async () => {
        if ((await known(host)) === 10_000) return true;
        await speak();
        return false;
      };
      await waitFor(`10,000 addresses on ${host.name}`, allKnown, { everyMs: 200, show: () => known(host) });
    }
    expect(await containers[0].reaches("10.2.1.3")).toBe(true);
  });
});
