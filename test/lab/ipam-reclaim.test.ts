// SPDX-License-Identifier: Apache-2.0
// With --reclaim-after the larger part of the network takes over from a host that was away long enough; what is in use there stays its own when it
// comes back.
import { expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

async function sharesSeenBy(host: Host): Promise<string> {
  const shares = (await statusOf(host)).ipam?.shares ?? [];
  return shares
    .map(({ nickname, addresses }) => `${nickname} ${addresses}`)
    .sort()
    .join();
}

test("a host that is cut off loses its space to the others, but for the address in use", async () => {
  await using lab = await Lab.open();
  const hosts = (await lab.addHosts("h1", "h2", "h3")) as [Host, Host, Host];
  const [h1, h2, h3] = hosts;
  const segment = await lab.connect(hosts);
  await Promise.all(hosts.map((host) => launch(host, "--reclaim-after", "30", ...(host === h1 ? [] : [h1.address]))));
  await waitForMesh(hosts);
  const held = (await h3.mustWeave("attach", (await h3.container("c")).path)).trim();
  await segment.plug(h3, "out");
  await waitFor("h3 to own nothing", async () => !(await sharesSeenBy(h2)).includes("h3"), { deadlineMs: 90_000 });
  expect(await sharesSeenBy(h3)).toMatch(/h3 3495\d\d/); // the smaller part takes nothing over, nor gives anything up
  await segment.plug(h3, "in");
  await waitForMesh(hosts, 60_000);
  await waitFor("one ring", async () => new Set(await Promise.all(hosts.map(sharesSeenBy))).size === 1, { deadlineMs: 20_000 });
  expect(await sharesSeenBy(h1)).toContain("h3 1");
  expect((await statusOf(h3)).warnings).toEqual([]);
  const rival = await h1.weave("attach", `${held}/12`, (await h1.container("d")).path);
  expect([rival.code, rival.stderr]).toEqual([1, expect.stringContaining("it is held by '/run/netns/c' on peer")]);
  expect((await h3.mustWeave("attach", (await h3.container("e")).path)).trim()).toMatch(/^10\.\d+\.\d+\.\d+$/);
}, 150_000);
