// SPDX-License-Identifier: Apache-2.0
// Who may not join is refused, both ends are told why, and connections of others do not notice.
//
//   h1 [c1] ── h2 [c2]   a healthy pair        bad: the one that tries, on the same segment
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { PingRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { attach, describeHost, launch, neighboursOf, reachablePeers, statusOf, waitForMesh } from "../support/weave.ts";

let lab: Lab;
let h1: Host;
let h2: Host;
let bad: Host;

beforeEach(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2", "bad"], segments: [["h1", "h2", "bad"]] });
  [h1, h2, bad] = [lab.host("h1"), lab.host("h2"), lab.host("bad")];
});
afterEach(async () => await lab?.close());

/** Starts the healthy pair with a ping through it. */
async function healthyPair(...flags: readonly string[]): Promise<{ readonly ping: PingRun; readonly c1: Container }> {
  await launch(h1, ...flags);
  await launch(h2, ...flags, h1.address);
  await waitForMesh([h1, h2]);
  const [c1] = [await attach(h1, "c1", "10.2.1.1/24"), await attach(h2, "c2", "10.2.1.2/24")];
  expect(await c1.reaches("10.2.1.2")).toBe(true);
  return { ping: await PingRun.start(c1, "10.2.1.2"), c1 };
}

/** Waits until `host` tells why it has no connection with `address`, in these words: the one that dials in `status connections`, the
 *  one that is dialled, and has no line for a stranger there, in its log. */
async function tells(host: Host, address: string, words: RegExp): Promise<void> {
  const dials = host === bad || (await statusOf(host)).router.targets.includes(address);
  await waitFor(
    `${host.name} to say ${words} about ${address}`,
    async () => {
      const text = dials ? await host.mustWeave("status", "connections") : await host.daemonLog(200);
      return text.split("\n").some((line) => line.includes(address) && words.test(line));
    },
    { deadlineMs: 8_000, everyMs: 100, show: async () => (dials ? describeHost(host) : host.daemonLog()) },
  );
}

/** The healthy pair went on as if nothing had been. */
async function unharmed(ping: PingRun): Promise<void> {
  await ping.more(20);
  expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
  expect(neighboursOf(await statusOf(h1))).toEqual(["h2"]);
  expect(reachablePeers(await statusOf(h1))).toEqual(["h1", "h2"]);
}

describe("refused with the reason on both ends", () => {
  test("a wrong password", async () => {
    const { ping } = await healthyPair("--password", "right horse", "--trusted-subnets", "10.200.1.0/24");
    await launch(bad, "--password", "wrong horse", "--trusted-subnets", "10.200.1.0/24", h1.address);
    await tells(bad, h1.address, /password/i);
    await tells(h1, bad.address, /password/i);
    await unharmed(ping);
  });

  test("no password against a password, and a password against none", async () => {
    const { ping } = await healthyPair("--password", "right horse", "--trusted-subnets", "10.200.1.0/24");
    await launch(bad, h1.address);
    await tells(bad, h1.address, /password/i);
    await tells(h1, bad.address, /password/i);
    await unharmed(ping);
  });

  test("a password against a mesh without one", async () => {
    const { ping } = await healthyPair();
    await launch(bad, "--password", "only mine", "--trusted-subnets", "10.200.1.0/24", h1.address);
    await tells(bad, h1.address, /password/i);
    await tells(h1, bad.address, /password/i);
    await unharmed(ping);
  });

  test("a peer name that is taken", async () => {
    const { ping } = await healthyPair();
    const { name } = (await statusOf(h2)).router;
    await launch(bad, "--name", name, h1.address);
    await tells(bad, h1.address, /name/i);
    await tells(h1, bad.address, /name/i);
    await unharmed(ping);
  });

  test("a cloned identity, naming the addresses that collide", async () => {
    const { ping } = await healthyPair();
    cpSync(h2.file("/var/lib/weave"), bad.file("/var/lib/weave"), { recursive: true });
    await launch(bad, h1.address);
    await tells(bad, h1.address, /clone|identity|same key/i);
    await waitFor(
      "a warning that names both addresses",
      async () => {
        const { stdout } = await h1.weave("status");
        return stdout.includes(h2.address) && stdout.includes(bad.address);
      },
      { deadlineMs: 8_000, show: async () => (await h1.weave("status")).stdout },
    );
    await unharmed(ping);
  });

  test("a revoked key, everywhere and for good", async () => {
    const { ping } = await healthyPair();
    await launch(bad, h1.address);
    await waitForMesh([h1, h2, bad]);
    await h1.mustWeave("rmpeer", "--revoke", "bad");
    await waitFor(
      "h1 and h2 to drop it",
      async () => {
        const all = await Promise.all([h1, h2].map(async (host) => neighboursOf(await statusOf(host)).join()));
        return all.join(";") === "h2;h1";
      },
      { show: () => describeHost(h1) },
    );
    await tells(bad, h1.address, /revoked/i);
    await bad.mustWeave("connect", h2.address);
    await tells(bad, h2.address, /revoked/i);
    await tells(h2, bad.address, /revoked/i);
    await unharmed(ping);
  });
});

test("several passwords are valid at once, so that one is changed host by host without a cut", async () => {
  const trusted = ["--trusted-subnets", "10.200.1.0/24"];
  const { ping } = await healthyPair("--password", "old", ...trusted);
  for (const [host, targets] of [
    [h2, [h1.address]],
    [h1, []],
  ] as const) {
    await host.mustWeave("stop");
    await launch(host, "--password", "new", "--password", "old", ...trusted, ...targets);
    await waitForMesh([h1, h2]);
  }
  await launch(bad, "--password", "new", ...trusted, h1.address);
  await waitForMesh([h1, h2, bad]);
  expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
});

test("more connections than --conn-limit are refused with that reason", async () => {
  await launch(h1, "--conn-limit", "1");
  await launch(h2, h1.address);
  await waitForMesh([h1, h2]);
  await launch(bad, "--no-discovery", h1.address);
  await tells(bad, h1.address, /limit/i);
  expect(neighboursOf(await statusOf(h1))).toEqual(["h2"]);
});

test("a host that is its own target is told so once and not retried", async () => {
  await launch(h1, h1.address, h2.address);
  await launch(h2);
  await waitForMesh([h1, h2]);
  await tells(h1, h1.address, /ourself|itself/i);
  const { router } = await statusOf(h1);
  expect(
    router.connections.find(({ address }) => address.startsWith(`${h1.address}:`) || address === h1.address)?.retryAtMs ?? null,
  ).toBeNull();
});
