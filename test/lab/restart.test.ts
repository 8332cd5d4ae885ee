// SPDX-License-Identifier: Apache-2.0
// The kernel forwards: a daemon may die, come back or be replaced by another build while frames flow, and none is lost.
//
//   h1 [c1] ── h2 [c2] ── h3 [c3] ── h4 [c4]     c1-c2 direct, c1-c3 relayed by h2, group frames flooded through h2 and h3
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { EXECUTABLE } from "../support/lab-host.ts";
import { otherBuild } from "../support/other-build.ts";
import { type Mesh, mesh } from "../support/shapes.ts";
import { PingRun, StreamRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

let world: Mesh;
let hosts: [Host, Host, Host, Host];
let containers: [Container, Container, Container, Container];
let ledger: Ledger;

beforeAll(async () => {
  world = await mesh("chain", 4);
  hosts = world.hosts as typeof hosts;
  containers = world.containers as typeof containers;
  ledger = await Ledger.over(containers);
});
afterAll(async () => {
  ledger?.[Symbol.dispose]();
  await world?.lab.close();
});
beforeEach(async () => {
  await waitForMesh(hosts, 20_000);
});

/** What a host was launched with. */
function targetsOf(host: Host): string[] {
  const index = hosts.indexOf(host);
  return index === 0 ? [] : [world.lab.segment(index - 1).address(hosts[index - 1] as Host)];
}

/** Runs every kind of traffic through the chain while `disturb` runs; nothing may be lost, repeated or damaged. */
async function undisturbed(disturb: () => Promise<void>): Promise<void> {
  const [c1, c2, c3, c4] = containers;
  const pings = { direct: await PingRun.start(c1, "10.2.1.2"), relayed: await PingRun.start(c4, "10.2.1.2") };
  const stream = await StreamRun.start(c1, c3, "10.2.1.3");
  const flooded = await ledger.during(async () => {
    await disturb();
    await Promise.all([pings.direct.more(200), pings.relayed.more(200), stream.more(1 << 20)]);
  }, 10);
  expect(flooded).toMatchObject({ lost: 0, repeated: 0 });
  for (const ping of Object.values(pings)) expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
  expect(stream.stop()).toMatchObject({ damagedAt: undefined, broken: false, retransmitted: 0 });
  expect(c2.name).toBe("c2");
}

for (const [role, index] of [
  ["an end", 0],
  ["a relay", 1],
] as const) {
  describe(`on ${role} of the path`, () => {
    test("kill -9 and a new start lose no frame", async () => {
      const host = hosts[index];
      await undisturbed(async () => {
        await host.killDaemon();
        // Long enough for the neighbours to notice, and to declare it dead if they were that simple.
        await Bun.sleep(4_000);
        await launch(host, ...targetsOf(host));
        await waitForMesh(hosts);
      });
    });

    test("stop and launch lose no frame", async () => {
      const host = hosts[index];
      await undisturbed(async () => {
        await host.mustWeave("stop");
        expect(host.daemonPid()).toBeUndefined();
        await Bun.sleep(500);
        await launch(host, ...targetsOf(host));
        await waitForMesh(hosts);
      });
    });

    test("replacement by another build loses no frame", async () => {
      const host = hosts[index];
      await using other = await otherBuild();
      await undisturbed(async () => {
        for (const executable of [other.path, EXECUTABLE]) {
          await host.mustWeave("stop");
          await host.must([executable, "launch", ...targetsOf(host)]);
          await waitForMesh(hosts);
          const version = (await statusOf(host)).version;
          expect(version === other.version).toBe(executable === other.path);
        }
      });
    });
  });
}

test("all daemons die at once and come back, and no frame is lost", async () => {
  await undisturbed(async () => {
    await Promise.all(hosts.map((host) => host.killDaemon()));
    await Bun.sleep(1_000);
    await Promise.all(hosts.map((host) => launch(host, ...targetsOf(host))));
    await waitForMesh(hosts, 20_000);
  });
});

test("a daemon killed ten times in a row keeps its identity and its frames", async () => {
  const [host] = hosts;
  const before = (await statusOf(host)).router.name;
  await undisturbed(async () => {
    for (let time = 0; time < 10; time++) {
      await host.killDaemon();
      await launch(host, ...targetsOf(host));
    }
    await waitForMesh(hosts, 20_000);
  });
  const { found } = await waitFor("its status", () => statusOf(host));
  expect(found.router.name).toBe(before);
});
