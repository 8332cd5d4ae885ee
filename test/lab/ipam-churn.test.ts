// SPDX-License-Identifier: Apache-2.0
// Many short-lived containers on five hosts while daemons are killed: no address twice, and nothing is left of those that have gone.
import { expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

const HOSTS = 5;
const AT_ONCE = 40;
const ROUNDS = 3;

/** Attaches without an address through the API; undefined: the daemon was killed meanwhile. */
async function attach(host: Host, name: string): Promise<string | undefined> {
  try {
    const response = await fetch("http://weave/v1/attach", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ target: `/run/netns/${name}` }),
      unix: host.file("/run/weave/api.sock"),
    });
    const answer = (await response.json()) as { readonly addresses?: readonly string[]; readonly message?: string };
    if (!response.ok) throw new Error(`${host.name}: ${answer.message}`);
    return answer.addresses?.[0];
  } catch (thrown) {
    if (
      thrown instanceof Error &&
      /socket|connect|ECONN|closed/i.test(`${thrown.message} ${"code" in thrown ? thrown.code : ""}`)
    ) {
      return undefined;
    }
    throw thrown;
  }
}

/** What the kernel shows: every address on every container of a host. */
async function addressesIn(host: Host, names: readonly string[]): Promise<string[]> {
  const script = names.map((name) => `ip -n ${name} -o -4 address show dev ethwe 2>/dev/null`).join("; ");
  const { stdout } = await host.run(["sh", "-c", script]);
  return [...stdout.matchAll(/inet (\d+\.\d+\.\d+\.\d+)\//g)].map((match) => match[1] ?? "");
}

test(`${HOSTS * AT_ONCE * ROUNDS} containers come and go on ${HOSTS} hosts, a daemon is killed in each round`, async () => {
  await using lab = await Lab.open();
  const hosts = await lab.addHosts(...Array.from({ length: HOSTS }, (_, index) => `h${index + 1}`));
  await lab.connect(hosts);
  const flags = (host: Host): string[] => [
    "--ipalloc-init",
    `consensus=${HOSTS}`,
    ...(host === hosts[0] ? [] : [hosts[0]!.address]),
  ];
  await Promise.all(hosts.map((host) => launch(host, ...flags(host))));
  await waitForMesh(hosts);
  await hosts[0]!.mustWeave("prime");
  let attached = 0;
  const startedAt = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    const names = Array.from({ length: AT_ONCE }, (_, index) => `r${round}c${index}`);
    const victim = hosts[round % HOSTS]!;
    await Promise.all(hosts.map((host) => host.must(["sh", "-c", names.map((name) => `ip netns add ${name}`).join(" && ")])));
    const answers = hosts.map((host) => names.map((name) => attach(host, name)));
    await Promise.any(answers[hosts.indexOf(victim)] ?? []);
    await victim.killDaemon();
    const given = (await Promise.all(answers.flat())).filter((address) => address !== undefined);
    await launch(victim, ...flags(victim));
    attached += given.length;
    const present = (await Promise.all(hosts.map((host) => addressesIn(host, names)))).flat();
    expect(new Set(present).size).toBe(present.length);
    for (const address of given) expect(present).toContain(address);
    await Promise.all(hosts.map((host) => host.must(["sh", "-c", names.map((name) => `ip netns delete ${name}`).join(" && ")])));
  }
  expect(attached).toBeGreaterThanOrEqual((HOSTS - 1) * AT_ONCE * ROUNDS);
  console.log(`${attached} answered in ${Math.round((performance.now() - startedAt) / 1000)} s`);
  await waitFor(
    "all addresses to be free",
    async () => (await Promise.all(hosts.map(statusOf))).every(({ ipam }) => ipam?.active === 0),
    { deadlineMs: 60_000 },
  );
  expect((await Promise.all(hosts.map((host) => host.mustWeave("ps")))).join("")).toBe("");
}, 170_000);
