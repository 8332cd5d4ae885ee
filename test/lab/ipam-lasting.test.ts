// SPDX-License-Identifier: Apache-2.0
// Addresses over time: a thousand containers that come and go, a host that stays away, clients that wait. The last two do next to nothing for most of
// their time, so all run at once, each in a lab of its own.
import { expect, test } from "bun:test";
import { Links } from "../../src/host/links.ts";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";
import { atHome, resolvesTo } from "./dns/ask.ts";

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

// Containers of one round live until those of the next have come.
test.concurrent(`${HOSTS * AT_ONCE * ROUNDS} containers come and go on ${HOSTS} hosts, a daemon is killed in each round`, async () => {
  await using lab = await Lab.open();
  const hosts = await lab.addHosts(...Array.from({ length: HOSTS }, (_, index) => `h${index + 1}`));
  await lab.connect(hosts);
  const flags = (host: Host): string[] => [
    "--dns-listen-address",
    "127.0.0.1:53",
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
    await namespaces(victim, "delete", living); // nobody sees them go
    await launch(victim, ...flags(victim));
    const given = await Promise.all(answers.flat());
    attached += given.length;
    const others = hosts.filter((host) => host !== victim);
    const present = [...others.flatMap((host) => addressesIn(host, [...living, ...names])), ...addressesIn(victim, names)];
    expect(present.length).toBe((HOSTS - 1) * living.length + HOSTS * names.length);
    expect(new Set(present).size).toBe(present.length);
    expect(present).toEqual(expect.arrayContaining(given));
    await Promise.all(others.map((host) => namespaces(host, "delete", living)));
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
  // Names work as before.
  const last = await attach(hosts[0]!, (await hosts[0]!.container("last")).name);
  await Promise.all(hosts.map((host) => resolvesTo(atHome(host), "last.weave.local", [last])));
  expect((await Promise.all(hosts.map(statusOf))).map(({ dns }) => dns?.entries)).toEqual(hosts.map(() => 1));
}, 240_000);

async function sharesSeenBy(host: Host): Promise<string> {
  const shares = (await statusOf(host)).ipam?.shares ?? [];
  return shares
    .map(({ nickname, addresses }) => `${nickname} ${addresses}`)
    .sort()
    .join();
}

// With --reclaim-after the larger part of the network takes over from a host that was away long enough; what is in use there stays its own when it
// comes back.
test.concurrent("a host that is cut off loses its space to the others, but for the address in use", async () => {
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

test.concurrent("clients without a body wait as long as others: longer than an idle connection may last", async () => {
  await using lab = await Lab.open();
  const host = (await lab.addHosts("h1"))[0]!;
  await lab.connect([host]);
  await launch(host, "--ipalloc-init", "consensus=3", "--ipalloc-timeout", "14");
  const requests = [
    ["GET", "/ring"],
    ["POST", "/ip/x"],
    ["PUT", "/ip/x/10.33.0.1/16"],
  ].map(async ([method = "", path = ""]) => {
    const unix = ["--unix-socket", "/run/weave/api.sock"];
    const { stdout } = await host.run(["curl", "-s", "-X", method, ...unix, "-w", "%{http_code}", `http://weave${path}`]);
    return stdout;
  });
  for (const answer of await Promise.all(requests)) expect(answer).toMatch(/within 14 s: the peers have not agreed .*\n503$/);
});
