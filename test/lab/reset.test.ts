// SPDX-License-Identifier: Apache-2.0
// `stop` leaves the network running; `reset` leaves the host, and its containers, as they were before weave came.
//
//   h1 [c1 by name, c2 by path, c3 by pid, tap] ── h2 [d1]
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { bpfObjectsOf, networkOf, snapshot, stillThere } from "../support/snapshot.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch, statusOf, waitForMesh } from "../support/weave.ts";

let lab: Lab;
let h1: Host;
let h2: Host;

beforeEach(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  [h1, h2] = [lab.host("h1"), lab.host("h2")];
});
afterEach(async () => await lab?.close());

/** Uses all there is to use. */
async function useEverything(containers: readonly Container[]): Promise<void> {
  const [c1, c2, c3] = containers as [Container, Container, Container];
  const sleeper = c3.background(["sleep", "1000"]);
  await launch(h1, h2.address);
  await launch(h2);
  await waitForMesh([h1, h2]);
  await h1.mustWeave("attach", "10.2.1.1/24", "10.3.1.1/24", c1.name);
  await h1.mustWeave("attach", "10.2.1.2/24", c2.path);
  await h1.mustWeave("attach", "10.2.1.3/24", `${sleeper.pid}`);
  await h1.mustWeave("attach", "--tap", "vm1", "10.2.1.4/24");
  await h1.mustWeave("expose", "10.2.1.99/24");
  const d1 = await attach(h2, "d1", "10.2.1.50/24");
  for (const last of [1, 2, 3, 99]) expect(await d1.reaches(`10.2.1.${last}`)).toBe(true);
  await h1.mustWeave("detach", "10.3.1.1/24", c1.name);
  await sleeper.stop("SIGKILL");
}

describe("reset", () => {
  test("leaves links, addresses, routes, firewall, settings, BPF objects and files as they were", async () => {
    const containers = await h1.containers("c1", "c2", "c3");
    const before = await snapshot(h1);
    const containersBefore = await Promise.all(containers.map(networkOf));
    await useEverything(containers);
    expect(await snapshot(h1)).not.toEqual(before);
    const objects = await bpfObjectsOf(h1);
    expect(objects.length).toBeGreaterThan(5);
    await h1.mustWeave("reset");
    await waitFor("the host to be as before", async () => JSON.stringify(await snapshot(h1)) === JSON.stringify(before), {
      deadlineMs: 2_000,
    }).catch(() => undefined);
    expect(await snapshot(h1)).toEqual(before);
    expect(await Promise.all(containers.map(networkOf))).toEqual(containersBefore);
    // The kernel frees them a moment later.
    await waitFor("all BPF objects to be freed", async () => (await stillThere(h1, objects)).length === 0, {
      show: () => stillThere(h1, objects),
    });
  });

  test("does the same when the daemon had been killed, and when it is not running", async () => {
    const containers = await h1.containers("c1", "c2", "c3");
    const before = await snapshot(h1);
    await useEverything(containers);
    const objects = await bpfObjectsOf(h1);
    await h1.killDaemon();
    // Peers hold what a dead daemon did not hand over; only the operator can say that this is meant.
    const refused = await h1.weave("reset");
    if (refused.code !== 0) expect(refused.stderr).toContain("--force");
    await h1.mustWeave("reset", "--force");
    expect(await snapshot(h1)).toEqual(before);
    await waitFor("all BPF objects to be freed", async () => (await stillThere(h1, objects)).length === 0, {
      show: () => stillThere(h1, objects),
    });
  });

  test("on a host that never had weave does nothing and succeeds", async () => {
    const before = await snapshot(h1);
    await h1.mustWeave("reset");
    expect(await snapshot(h1)).toEqual(before);
  });

  test("gives a new identity, and the neighbours forget the old one", async () => {
    await launch(h1, h2.address);
    await launch(h2);
    await waitForMesh([h1, h2]);
    const before = (await statusOf(h1)).router.name;
    await h1.mustWeave("reset");
    await launch(h1, h2.address);
    await waitForMesh([h1, h2]);
    expect((await statusOf(h1)).router.name).not.toBe(before);
  });
});

describe("stop", () => {
  test("leaves the data plane in place, launch takes it over again", async () => {
    await launch(h1, h2.address);
    await launch(h2);
    await waitForMesh([h1, h2]);
    const [c1] = [await attach(h1, "c1", "10.2.1.1/24"), await attach(h2, "c2", "10.2.1.2/24")];
    expect(await c1.reaches("10.2.1.2")).toBe(true);
    await h1.mustWeave("stop");
    await h2.mustWeave("stop");
    expect(await c1.reaches("10.2.1.2", 0)).toBe(true);
    const links = (await networkOf(h1))["links"];
    await launch(h1, h2.address);
    await launch(h2);
    await waitForMesh([h1, h2]);
    expect((await networkOf(h1))["links"]).toEqual(links);
    expect((await h1.mustWeave("ps")).includes("10.2.1.1/24")).toBe(true);
  });

  test("twice is once, and launch twice is refused with code 3", async () => {
    await launch(h1);
    const again = await h1.weave("launch");
    expect(again.code).toBe(3);
    expect(again.stderr).toMatch(/already running/i);
    expect(again.stdout).toBe("");
    await h1.mustWeave("stop");
    expect((await h1.weave("stop")).code).toBe(0);
  });
});
