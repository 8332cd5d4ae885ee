// SPDX-License-Identifier: Apache-2.0
// Hosts behind NAT. Only the public host has an address that the others can dial; whoever cannot reach the other goes through it.
//
//   one home     h1, h2 ──inside── r1 ──outside── pub
//   two homes    h1 ──inside── r1 ──outside── pub, h2 ──inside── r2 ──outside
import { afterEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { NatRouter } from "../support/router.ts";
import { waitForCables } from "../support/shapes.ts";
import { PingRun, StreamRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import {
  attachEverywhere,
  describeHost,
  launch,
  neighboursOf,
  statusOf,
  waitForAnswers,
  waitForRoutes,
} from "../support/weave.ts";

const PASSWORD = ["--password", "horse"];
let lab: Lab;
let hosts: [Host, Host, Host];
let routers: NatRouter[];
let containers: [Container, Container, Container];

afterEach(async () => await lab?.close());

async function oneHome(): Promise<void> {
  lab = await Lab.with({
    hosts: ["h1", "h2", "pub", "r1"],
    segments: [
      ["h1", "h2", "r1"],
      ["r1", "pub"],
    ],
  });
  routers = [await NatRouter.on(lab.host("r1"), lab.segment(0), lab.segment(1))];
}
async function twoHomes(): Promise<void> {
  const segments = [
    ["h1", "r1"],
    ["h2", "r2"],
    ["r1", "r2", "pub"],
  ];
  lab = await Lab.with({ hosts: ["h1", "h2", "pub", "r1", "r2"], segments });
  const outside = lab.segment(2);
  routers = [
    await NatRouter.on(lab.host("r1"), lab.segment(0), outside),
    await NatRouter.on(lab.host("r2"), lab.segment(1), outside),
  ];
}

/** Both hosts inside know the public one and nobody else. */
async function start(...flags: readonly string[]): Promise<void> {
  hosts = [lab.host("h1"), lab.host("h2"), lab.host("pub")];
  const [h1, h2, pub] = hosts;
  await launch(pub, ...flags);
  for (const host of [h1, h2]) await launch(host, ...flags, pub.address);
  containers = (await attachEverywhere(hosts)) as [Container, Container, Container];
  await waitForRoutes(hosts, 15_000);
  await waitForAnswers(containers);
}

/** What goes between each inside host and the public one, at both ends. */
async function waitForSleeve(isEncrypted: boolean): Promise<void> {
  const [h1, h2, pub] = hosts;
  for (const [host, other] of [
    [h1, pub],
    [pub, h1],
    [h2, pub],
    [pub, h2],
  ] as const) {
    await waitFor(
      `sleeve between ${host.name} and ${other.name}`,
      async () => {
        const { connections } = (await statusOf(host)).router;
        const connection = connections.find(({ peer, state }) => peer?.nickname === other.name && state === "established");
        return connection?.overlay === "sleeve" && connection.encrypted === isEncrypted;
      },
      { everyMs: 50, show: async () => (await Promise.all(hosts.map(describeHost))).join("; ") },
    );
  }
}
async function exactlyOnce(): Promise<void> {
  using ledger = await Ledger.over(containers);
  expect(await ledger.groupFrames(10)).toEqual([]);
  expect(await ledger.unicastFrames(5)).toEqual([]);
}

const HOMES = [
  ["one NAT", oneHome],
  ["two NATs", twoHomes],
] as const;
const MODES = [
  ["clear", []],
  ["with a password", PASSWORD],
] as const;

describe.each(HOMES)("behind %s", (_, build) => {
  test.each(MODES)("%s: all three talk, the two inside through the public one", async (_mode, flags) => {
    await build();
    await start(...flags);
    await waitForSleeve(flags.length > 0);
    expect(neighboursOf(await statusOf(hosts[0]))).toEqual(["pub"]);
    await exactlyOnce();
    for (const [from, to, address] of [
      [containers[0], containers[1], "10.2.1.2"],
      [containers[2], containers[1], "10.2.1.2"],
      [containers[1], containers[2], "10.2.1.3"],
    ] as const) {
      const stream = await StreamRun.start(from, to, address);
      await stream.more(2 << 20);
      expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    }
  });
});

test("behind one NAT, one told of the other: straight between them, and still all three talk", async () => {
  await oneHome();
  await start(...PASSWORD);
  const [h1, h2] = hosts;
  await h2.mustWeave("connect", h1.address);
  await waitForCables(hosts, "full", 10_000); // a new connection moves trees
  await waitForAnswers(containers);
  await exactlyOnce();
});

describe("a NAT that forgets", () => {
  test("all mappings, under a stream each way: other ports outside, nothing is broken", async () => {
    await twoHomes();
    await start(...PASSWORD);
    await waitForSleeve(true);
    const streams = [
      await StreamRun.start(containers[0], containers[1], "10.2.1.2"),
      await StreamRun.start(containers[2], containers[0], "10.2.1.1"),
    ];
    for (let round = 0; round < 3; round++) {
      for (const router of routers) {
        const before = await router.mappings();
        expect(before.size).toBeGreaterThan(0);
        await router.forget();
        await Promise.all(streams.map((stream) => stream.more(1 << 20)));
        const after = await router.mappings();
        expect([...after.keys()].some((key) => before.has(key) && before.get(key) !== after.get(key))).toBe(true);
      }
    }
    for (const stream of streams) expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    await exactlyOnce();
  });

  test("all mappings, while only the outside speaks: reached again when the inside says its next word", async () => {
    await oneHome();
    await start(...PASSWORD);
    await waitForSleeve(true);
    const ping = await PingRun.start(containers[2], "10.2.1.1", 0.02);
    for (const router of routers) await router.forget();
    await ping.more(50, 25_000);
    await ping.stop();
    await exactlyOnce();
  });

  // The daemon's own words (20 s between them) keep it open: nothing is sent by containers.
  test("a mapping that was silent for 25 s: a host inside can be reached at any time", async () => {
    await oneHome();
    for (const router of routers) await router.endUdpAfter(25);
    await start(...PASSWORD);
    await waitForSleeve(true);
    const [router] = routers;
    const ofSleeve = async (): Promise<number[]> => {
      const mappings = await router!.mappings();
      return [...mappings].flatMap(([key, port]) => (key.endsWith(`${hosts[2].address}:6783`) ? [port] : [])).sort();
    };
    const before = await ofSleeve();
    expect(before.length).toBe(2);
    const end = performance.now() + 55_000;
    await waitFor("more than two such silences", async () => performance.now() > end, { deadlineMs: 60_000, everyMs: 500 });
    expect(await ofSleeve()).toEqual(before);
    for (const address of ["10.2.1.1", "10.2.1.2"]) {
      expect(await containers[2].must(["ping", "-c1", "-W1", address])).toContain(" 0% packet loss");
    }
  }, 120_000);
});
