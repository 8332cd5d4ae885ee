// SPDX-License-Identifier: Apache-2.0
// Two containers on two hosts are on one Ethernet, whatever they send; other subnets are not on it.
//
//   h1 [c1 10.2.1.1] ── h2 [c2 10.2.1.2]      [x1 10.3.1.1] on h1, [x2 10.3.1.2] on h2: a subnet of their own
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Station } from "../support/delivery.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { type Mesh, mesh } from "../support/shapes.ts";
import { StreamRun } from "../support/traffic.ts";
import { UdpSocket } from "../support/udp.ts";
import { waitFor } from "../support/wait.ts";
import { attach, statusOf } from "../support/weave.ts";

let world: Mesh;
let h1: Host;
let h2: Host;
let c1: Container;
let c2: Container;

beforeAll(async () => {
  world = await mesh("full", 2);
  [h1, h2] = world.hosts as [Host, Host];
  [c1, c2] = world.containers as [Container, Container];
});
afterAll(async () => await world?.lab.close());

/** Sends one datagram from c1 and waits for it at c2. */
async function carries(data: Uint8Array, target: string, family: 4 | 6, group?: string): Promise<void> {
  using from = new UdpSocket(c1, 7_000, family);
  using to = new UdpSocket(c2, 7_000, family);
  if (group !== undefined) to.join(group);
  expect(from.send(data, target, 7_000)).toBe(true);
  const { found } = await waitFor(`a datagram of ${data.byteLength} bytes to ${target}`, () => to.receive(), {
    deadlineMs: 3_000,
  });
  expect(Buffer.compare(found, data)).toBe(0);
  expect(to.receive()).toBeUndefined();
}

describe("between two hosts", () => {
  test("the path is the kernel's", async () => {
    const { router } = await statusOf(h1);
    expect(router.connections.map(({ overlay, state }) => `${overlay} ${state}`)).toEqual(["fastdp established"]);
  });
  test("ping answers over IPv4", async () => {
    expect(await c1.reaches("10.2.1.2")).toBe(true);
  });
  test("ping answers over IPv6 link-local addresses", async () => {
    expect(await c1.reaches(`${await c2.linkLocal()}%ethwe`)).toBe(true);
  });
  test("ping answers over IPv6 global addresses", async () => {
    await h1.mustWeave("attach", "fd00:2::1/64", "c1");
    await h2.mustWeave("attach", "fd00:2::2/64", "c2");
    expect(await c1.reaches("fd00:2::2")).toBe(true);
  });
  test("a TCP stream arrives undamaged and without a repeated segment", async () => {
    const stream = await StreamRun.start(c1, c2, "10.2.1.2");
    await stream.more(4 << 20);
    expect(stream.stop()).toMatchObject({ damagedAt: undefined, broken: false, retransmitted: 0 });
  });
  test("UDP datagrams arrive", async () => {
    await carries(new TextEncoder().encode("one datagram"), "10.2.1.2", 4);
  });
  test("a UDP datagram of 60 kB arrives whole", async () => {
    await carries(
      Uint8Array.from({ length: 60_000 }, (_, index) => (index * 31) & 0xff),
      "10.2.1.2",
      4,
    );
  });
  test("broadcast arrives", async () => {
    await carries(new TextEncoder().encode("to the subnet"), "10.2.1.255", 4);
    await carries(new TextEncoder().encode("to everybody"), "255.255.255.255", 4);
  });
  test("IPv4 multicast arrives", async () => {
    await carries(new TextEncoder().encode("group 4"), "239.1.2.3", 4, "239.1.2.3");
  });
  test("IPv6 multicast arrives", async () => {
    await carries(new TextEncoder().encode("group 6"), "ff02::4:98", 6, "ff02::4:98");
  });
  test("frames of an unknown ethertype arrive", async () => {
    using from = await Station.open(c1, 1);
    using to = await Station.open(c2, 2);
    from.send(to.mac, 1);
    await waitFor("the frame", () => to.copies(1, 1) === 1, { deadlineMs: 3_000 });
  });
});

describe("subnets", () => {
  test("are isolated from each other on one host and across hosts, and whole in themselves", async () => {
    const x1 = await attach(h1, "x1", "10.3.1.1/24");
    const x2 = await attach(h2, "x2", "10.3.1.2/24");
    expect(await x1.reaches("10.3.1.2")).toBe(true);
    expect(await x2.reaches("10.3.1.1")).toBe(true);
    for (const [from, address] of [
      [x1, "10.2.1.1"],
      [x1, "10.2.1.2"],
      [c1, "10.3.1.1"],
      [c1, "10.3.1.2"],
    ] as const) {
      expect(await from.reaches(address, 0)).toBe(false);
      // Not even with a route: nobody on the way forwards.
      await from.run(["ip", "route", "replace", `${address}/32`, "dev", "ethwe"]);
      const answer = await from.run(["ping", "-q", "-c2", "-i0.1", "-W0.3", address]);
      await from.run(["ip", "route", "delete", `${address}/32`, "dev", "ethwe"]);
      expect(answer.code).not.toBe(0);
    }
  });

  test("are reached by a container that has an address in each", async () => {
    const both = await attach(h1, "both", "10.2.1.9/24", "10.3.1.9/24");
    expect(await both.reaches("10.2.1.2")).toBe(true);
    expect(await both.reaches("10.3.1.2")).toBe(true);
  });
});
