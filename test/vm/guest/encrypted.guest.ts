// SPDX-License-Identifier: Apache-2.0
// Encrypted data through the kernel: VXLAN inside WireGuard, on the compiled executable. Every frame on the cable is looked at.
//
//   h1 [c1] ──seg0── h2 [c2] ──seg1── h3 [c3]     h1 and h3 cannot reach each other
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Ledger } from "../../support/delivery.ts";
import { FrameSocket } from "../../support/frames.ts";
import type { Lab } from "../../support/lab.ts";
import type { Container, Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { PingRun, StreamRun } from "../../support/traffic.ts";
import { waitFor } from "../../support/wait.ts";
import { attachEverywhere, launch, statusOf, waitForMesh } from "../../support/weave.ts";

const SECRET = "xyzzy-not-4-wire"; // 16 bytes, as many as ping repeats
const FLAGS = ["--password", "horse"];
let lab: Lab;
let hosts: [Host, Host, Host];
let containers: [Container, Container, Container];
let tap: FrameSocket;

beforeAll(async () => {
  const wired = await wire("chain", 3);
  lab = wired.lab;
  hosts = wired.hosts as [Host, Host, Host];
  const { netns, device } = lab.segment(0).tap(hosts[0]);
  tap = new FrameSocket(netns, device, "both");
  const [h1, h2, h3] = hosts;
  await launch(h1, ...FLAGS);
  await launch(h2, ...FLAGS, lab.segment(0).address(h1));
  await launch(h3, ...FLAGS, lab.segment(1).address(h2));
  containers = (await attachEverywhere(hosts)) as [Container, Container, Container];
  await waitForMesh(hosts);
});
afterAll(async () => {
  tap?.[Symbol.dispose]();
  await lab?.close();
});

/** All four ends of the two connections say so. */
async function waitForTransport(wanted: string, deadlineMs = 15_000): Promise<void> {
  const ends = async (): Promise<string[]> => {
    const all = await Promise.all(hosts.map(async (host) => (await statusOf(host)).router.connections));
    return all.flat().flatMap(({ state, overlay, encrypted }) => (state === "established" ? `${overlay} ${encrypted}` : []));
  };
  const isEverywhere = (all: readonly string[]): boolean => all.length === 4 && all.every((one) => one === `${wanted} true`);
  await waitFor(`${wanted} everywhere`, async () => isEverywhere(await ends()), {
    deadlineMs,
    everyMs: 100,
    show: async () => `${(await ends()).join("; ")}${(await Promise.all(hosts.map((host) => host.daemonLog(12)))).join("")}`,
  });
}

/** Containers say something that must not be readable, and nothing that was caught so far is. */
async function nothingReadable(): Promise<void> {
  const pattern = Buffer.from(SECRET).toString("hex");
  for (const last of [2, 3]) await containers[0].run(["ping", "-q", "-c3", "-i0.1", "-W1", "-p", pattern, `10.2.1.${last}`]);
  const frames = tap.drain();
  expect(frames.length).toBeGreaterThan(5);
  expect(frames.filter((frame) => Buffer.from(frame).includes(SECRET))).toEqual([]);
}

describe("with a password and WireGuard in the kernel", () => {
  test("data goes through it, and nothing on the cable is readable", async () => {
    await waitForTransport("fastdp");
    expect(await containers[0].reaches("10.2.1.3")).toBe(true);
    await nothingReadable();
    expect(await hosts[0].mustWeave("status", "connections")).toMatch(/established encrypted {3}fastdp .*mtu=1350/);
  });

  test("every group frame reaches every other container exactly once, known unicast only its addressee", async () => {
    using ledger = await Ledger.over(containers);
    expect(await ledger.groupFrames(10)).toEqual([]);
    expect(await ledger.unicastFrames(5)).toEqual([]);
  });

  test("a killed daemon costs no frame: the kernel goes on, and the next daemon takes over what it finds", async () => {
    const ping = await PingRun.start(containers[0], "10.2.1.3", 0.02);
    await hosts[1].killDaemon();
    await ping.more(30);
    await launch(hosts[1], ...FLAGS, "--resume");
    await ping.more(30);
    const { lost, duplicates } = await ping.stop();
    expect([lost.length, duplicates]).toEqual([0, 0]);
    await waitForTransport("fastdp");
    await nothingReadable();
  });

  test("its port closed: the sleeve takes over, and it comes back", async () => {
    const stream = await StreamRun.start(containers[0], containers[1], "10.2.1.2");
    const rule = "table inet closed { chain input { type filter hook prerouting priority -500; udp dport 6785 drop; }; }";
    for (const host of hosts) await host.must(["nft", "-f", "-"], { stdin: rule });
    await waitForTransport("sleeve");
    await stream.more(100_000);
    await nothingReadable();
    for (const host of hosts) await host.must(["nft", "delete", "table", "inet", "closed"]);
    await waitForTransport("fastdp", 30_000);
    await stream.more(100_000);
    expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
  });

  test("its link deleted, with a default route for IPv6: nothing leaves in clear, and it is made again", async () => {
    const [h1] = hosts;
    await h1.must(["ip", "-6", "route", "add", "default", "via", lab.segment(0).address6(hosts[1]), "dev", "e1"]);
    tap.drain();
    const steady = containers[0].background(["ping", "-q", "-i", "0.05", "-p", Buffer.from(SECRET).toString("hex"), "10.2.1.2"]);
    await h1.must(["ip", "link", "delete", "weave-wg"]);
    await waitFor("the link to be back", async () => (await h1.run(["ip", "link", "show", "weave-wg"])).code === 0, {
      deadlineMs: 15_000,
    });
    await waitForTransport("fastdp", 30_000);
    await steady.stop("SIGINT");
    await nothingReadable();
    expect(await containers[0].reaches("10.2.1.2")).toBe(true);
  });

  test("a daemon started without it, with a default route for IPv6: nothing leaves in clear, the sleeve takes over", async () => {
    const [h1, h2] = hosts;
    await h1.must(["ip", "-6", "route", "replace", "default", "via", lab.segment(0).address6(h2), "dev", "e1"]);
    tap.drain();
    const steady = containers[0].background(["ping", "-q", "-i", "0.02", "-p", Buffer.from(SECRET).toString("hex"), "10.2.1.2"]);
    await h1.killDaemon();
    await launch(h1, ...FLAGS, "--no-fastdp");
    await waitFor("an answer", () => containers[0].reaches("10.2.1.2"), { deadlineMs: 15_000 });
    await steady.stop("SIGINT");
    await nothingReadable();
    expect(await h1.must(["ip", "-br", "link"])).not.toContain("weave-wg");
    const { connections } = (await statusOf(h1)).router;
    const standing = connections.filter(({ state }) => state === "established");
    expect(standing.map(({ overlay, encrypted }) => [overlay, encrypted])).toEqual([["sleeve", true]]);
  });

  test("reset leaves nothing of it", async () => {
    for (const host of hosts) {
      await host.mustWeave("reset");
      expect(await host.must(["ip", "-br", "link"])).not.toContain("weave");
      for (const what of ["rule", "route"]) expect(await host.must(["ip", "-6", what])).not.toContain("fd77:6561:7665");
    }
  });
});
