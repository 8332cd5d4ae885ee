// SPDX-License-Identifier: Apache-2.0
// A thousand short-lived containers on five hosts, each host's daemon killed in the middle of it: no address twice, and nothing is left of those
// that have gone. Containers of one round live until those of the next have come.
import { expect, test } from "bun:test";
import { Links } from "../../src/host/links.ts";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

const HOSTS = 5;
const AT_ONCE = 40;
const ROUNDS = 5;

/** Attaches without an address through the API; undefined: the daemon was killed meanwhile. @throws when it refuses */
async function attachOnce(host: Host, name: string): Promise<string | undefined> {
  let response: Response;
  let text: string;
  try {
    response = await fetch("http://weave/v1/attach", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ target: `/run/netns/${name}` }),
      unix: host.file("/run/weave/api.sock"),
    });
    text = await response.text();
  } catch {
    return undefined; // no answer, or only a part of one
  }
  if (!response.ok) throw new Error(`${host.name}: ${text}`);
  return (JSON.parse(text) as { readonly addresses: readonly string[] }).addresses[0];
}

/** As whoever runs containers does it: again until there is an answer. */
async function attach(host: Host, name: string): Promise<string> {
  const { found } = await waitFor(`${name} on ${host.name} to be attached`, () => attachOnce(host, name), {
    deadlineMs: 60_000,
    everyMs: 200,
  });
  return found;
}

async function namespaces(host: Host, what: "add" | "delete", names: readonly string[]): Promise<void> {
  await host.must(["ip", "-batch", "-"], { stdin: names.map((name) => `netns ${what} ${name}\n`).join("") });
}

/** What the kernel shows on the containers of a host. */
function addressesIn(host: Host, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    using links = Links.openIn(host.file(`/run/netns/${name}`));
    const { index } = links.get("ethwe") ?? {};
    return index === undefined ? [] : links.addresses(index).flatMap(({ cidr, scope }) => (scope === 0 ? [cidr.address] : []));
  });
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
  const rounds = Array.from({ length: ROUNDS }, (_, round) => Array.from({ length: AT_ONCE }, (_, i) => `r${round}c${i}`));
  await Promise.all(hosts.map((host) => namespaces(host, "add", rounds.flat())));
  let attached = 0;
  let living: readonly string[] = [];
  const startedAt = performance.now();
  for (const [round, names] of rounds.entries()) {
    const victim = hosts[round % HOSTS]!;
    const answers = hosts.map((host) => names.map((name) => attach(host, name)));
    await Promise.any(answers[hosts.indexOf(victim)]!);
    await victim.killDaemon();
    await launch(victim, ...flags(victim));
    const given = await Promise.all(answers.flat());
    attached += given.length;
    const present = hosts.flatMap((host) => addressesIn(host, [...living, ...names]));
    expect(present.length).toBe(HOSTS * (living.length + names.length));
    expect(new Set(present).size).toBe(present.length);
    expect(present).toEqual(expect.arrayContaining(given));
    await Promise.all(hosts.map((host) => namespaces(host, "delete", living)));
    living = names;
  }
  await Promise.all(hosts.map((host) => namespaces(host, "delete", living)));
  console.log(`${attached} attached and gone in ${Math.round((performance.now() - startedAt) / 1000)} s`);
  await waitFor(
    "nothing to be left",
    async () => {
      const all = await Promise.all(hosts.map(statusOf));
      return all.every(({ ipam, dns }) => ipam?.active === 0 && dns?.entries === 0);
    },
    { deadlineMs: 60_000, everyMs: 200 },
  );
  expect((await Promise.all(hosts.map((host) => host.mustWeave("ps")))).join("")).toBe("");
}, 240_000);
