// SPDX-License-Identifier: Apache-2.0
// Meshes in the shapes the tests want, running and with a container on each host:
//
//   chain  h1 ── h2 ── h3 ── h4       star   h2, h3, h4, h5 each with a cable to h1 only
//   ring   a chain whose ends meet    full   everybody on one segment
import { Lab } from "./lab.ts";
import type { Container, Host } from "./lab-host.ts";
import { waitFor } from "./wait.ts";
import { attachEverywhere, describeHost, launch, neighboursOf, statusOf, waitForAnswers, waitForMesh } from "./weave.ts";

export type Shape = "chain" | "ring" | "star" | "full";

/** Who shares a cable with whom, by index. */
function cables(shape: Shape, size: number): number[][] {
  const all = Array.from({ length: size }, (_, index) => index);
  switch (shape) {
    case "chain":
      return all.slice(1).map((index) => [index - 1, index]);
    case "ring":
      return all.map((index) => [index, (index + 1) % size]);
    case "star":
      return all.slice(1).map((index) => [0, index]);
    case "full":
      return [all];
    default:
      return shape satisfies never;
  }
}

export interface Mesh extends AsyncDisposable {
  readonly lab: Lab;
  readonly hosts: readonly Host[];
  readonly containers: readonly Container[];
}

/** Longer than a host takes to follow what it hears (routes are computed at most some 20 ms after a change) and a changed tree rests. */
const REST_MS = 500;

/** Waits until each host has a connection over each of its cables, and all routes are at rest. A connection that comes later moves trees, and group
 *  frames under way meanwhile may be lost. */
export async function waitForCables(hosts: readonly Host[], shape: Shape, deadlineMs: number): Promise<void> {
  const joined = cables(shape, hosts.length);
  const wanted = (index: number): string[] => {
    const mine = joined.filter((members) => members.includes(index)).flat();
    return [...new Set(mine)].filter((other) => other !== index).map((other) => hosts[other]?.name ?? "?");
  };
  const isWhole = async (host: Host, index: number): Promise<boolean> =>
    neighboursOf(await statusOf(host)).join() === wanted(index).sort().join();
  const show = async (): Promise<string> => (await Promise.all(hosts.map(describeHost))).join("; ");
  await waitFor("a connection over each cable", async () => (await Promise.all(hosts.map(isWhole))).every(Boolean), {
    deadlineMs,
    everyMs: 50,
    show,
  });
  await waitForMesh(hosts, deadlineMs);
  let routes = "";
  let since = 0;
  await waitFor(
    "routes at rest",
    async () => {
      const all = await Promise.all(hosts.map(async (host) => (await statusOf(host)).router));
      const now = JSON.stringify(all.map(({ unicastRoutes, broadcastRoutes }) => [unicastRoutes, broadcastRoutes]));
      if (now !== routes) since = performance.now();
      routes = now;
      return performance.now() - since >= REST_MS;
    },
    { deadlineMs, everyMs: 50, show },
  );
}

/** Hosts with their cables, nothing running. Each host's targets: neighbours by cable with a lower index. */
export async function wire(
  shape: Shape,
  size: number,
): Promise<{ readonly lab: Lab; readonly hosts: readonly Host[]; readonly targets: ReadonlyMap<Host, readonly string[]> }> {
  const lab = await Lab.open();
  try {
    const hosts = await lab.addHosts(...Array.from({ length: size }, (_, index) => `h${index + 1}`));
    const targets = new Map<Host, string[]>(hosts.map((host) => [host, []]));
    for (const members of cables(shape, size)) {
      const joined = members.map((index) => hosts[index]).filter((host) => host !== undefined);
      const segment = await lab.connect(joined);
      const [first, ...others] = joined;
      if (first === undefined) continue;
      for (const other of others) {
        const [older, younger] = hosts.indexOf(first) < hosts.indexOf(other) ? [first, other] : [other, first];
        targets.get(younger)?.push(segment.address(older));
      }
    }
    return { lab, hosts, targets };
  } catch (thrown) {
    await lab.close();
    throw thrown;
  }
}

/** A running mesh in which every container has reached every other. */
export async function mesh(shape: Shape, size: number, ...flags: readonly string[]): Promise<Mesh> {
  const { lab, hosts, targets } = await wire(shape, size);
  try {
    await Promise.all(hosts.map((host) => launch(host, ...flags, ...(targets.get(host) ?? []))));
    await waitForCables(hosts, shape, 20_000);
    const containers = await attachEverywhere(hosts);
    await waitForAnswers(containers);
    return { lab, hosts, containers, [Symbol.asyncDispose]: () => lab.close() };
  } catch (thrown) {
    await lab.close();
    throw thrown;
  }
}
