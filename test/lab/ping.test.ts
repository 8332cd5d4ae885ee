// SPDX-License-Identifier: Apache-2.0
// `weave ping`: what it says of a neighbour and of a peer behind one, with and without its daemon.
//
//   h1 ──seg0── h2 ──seg1── h3
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { PingResponse } from "../../src/api/ping.ts";
import type { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

let lab: Lab;
let hosts: [Host, Host, Host];

beforeAll(async () => {
  const wired = await wire("chain", 3);
  lab = wired.lab;
  hosts = wired.hosts as [Host, Host, Host];
  const [h1, h2, h3] = hosts;
  await launch(h1);
  await launch(h2, lab.segment(0).address(h1));
  await launch(h3, lab.segment(1).address(h2));
  await waitForMesh(hosts);
});
afterAll(async () => await lab?.close());

async function ping(host: Host, ...words: readonly string[]): Promise<PingResponse & { readonly code: number }> {
  const { stdout, stderr, code } = await host.weave("ping", "--json", ...words);
  if (stdout === "") throw new Error(stderr);
  return { ...(JSON.parse(stdout) as PingResponse), code };
}

test("a neighbour, by nickname, name and address: its path in use answers within the wire's time", async () => {
  const [h1, h2] = hosts;
  const { name } = (await statusOf(h2)).router;
  for (const word of ["h2", name, lab.segment(0).address(h2)]) {
    const found = await ping(h1, "-c", "3", word);
    expect(found).toMatchObject({ code: 0, answered: true, routeEnd: "", peer: { name, nickname: "h2" } });
    const used = found.paths.find(({ inUse }) => inUse);
    expect(used).toMatchObject({ transport: "fastdp", encrypted: false, state: "up", probes: { sent: 3, received: 3, loss: 0 } });
    expect(used?.probes?.rttMs?.min).toBeGreaterThan(0);
    expect(used?.probes?.rttMs?.min).toBeLessThan(50);
    expect(found.control).toMatchObject({ sent: 3, received: 3 });
  }
  expect(await h1.mustWeave("ping", "-c", "1", "h2")).toMatch(
    /^.+\(h2\): 1 hop\npath +fastdp unencrypted +in use +1\/1 answered, rtt min\/avg\/max [\d./]+ ms, loss 0%, mtu \d+\n/,
  );
});

test("a probe of full size, over every path; what does not fit is refused with what would", async () => {
  const [h1] = hosts;
  const [best] = (await ping(h1, "-c", "1", "h2")).paths;
  const full = `${best?.mtuBytes}`;
  const { paths, sizeBytes } = await ping(h1, "-c", "2", "--size", full, "h2");
  expect([paths[0]?.probes, sizeBytes]).toMatchObject([{ sent: 2, received: 2 }, Number(full)]);
  expect(await h1.weave("ping", "--size", `${Number(full) + 1}`, "h2")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      new RegExp(`cannot have ${Number(full) + 1} bytes: .* at most ${full}; use --size 8 to ${full}`),
    ),
  });
  expect((await h1.weave("ping", "--size", "100", "h3")).stderr).toContain("only for a neighbour");
});

test("what the wire loses above a size is lost above that size only", async () => {
  const [h1, h2] = hosts;
  const hook = "type filter hook prerouting priority -500;\nudp dport 6784 meta length > 1300 drop;";
  await h2.must(["nft", "-f", "-"], { stdin: `table inet narrow {\nchain small {\n${hook}\n}\n}` });
  expect((await ping(h1, "-c", "1", "--size", "1200", "h2")).paths[0]?.probes).toMatchObject({ received: 1 });
  expect((await ping(h1, "-c", "1", "--size", "1400", "h2")).paths[0]?.probes).toMatchObject({ received: 0 });
  await h2.must(["nft", "delete", "table", "inet", "narrow"]);
});

test("a peer behind a neighbour: both hops with their transport, and its daemon's answer", async () => {
  const found = await ping(hosts[0], "-c", "2", "h3");
  expect(found).toMatchObject({ code: 0, answered: true, paths: [], routeEnd: "", control: { sent: 2, received: 2 } });
  expect(
    found.route.map(({ from, to, transport, encrypted }) => `${from.nickname} ${to.nickname} ${transport} ${encrypted}`),
  ).toEqual(["h1 h2 fastdp false", "h2 h3 fastdp false"]);
  expect(found.route.every(({ rttMs, mtuBytes }) => rttMs !== null && mtuBytes !== null)).toBe(true);
});

test("who is not there, and this host itself, are told", async () => {
  const [h1] = hosts;
  expect(await h1.weave("ping", "h9")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringContaining("no peer 'h9' is known"),
  });
  expect((await h1.weave("ping", "h1")).stderr).toContain("is this host");
});

test("a neighbour whose daemon is away is answered for by its kernel; a cut one is not", async () => {
  const [h1, h2] = hosts;
  await h2.killDaemon();
  const away = await ping(h1, "-c", "1", "h2");
  expect(away).toMatchObject({ code: 0, answered: true, control: { received: 0 } });
  expect(away.paths.find(({ inUse }) => inUse)?.probes).toMatchObject({ received: 1 });
  expect(await ping(h1, "-c", "1", "h3")).toMatchObject({ code: 1, answered: false, routeEnd: expect.stringContaining("(h2)") });
  await launch(h2);
  await waitFor("h2 to be back", async () => (await ping(h1, "-c", "1", "h2")).control.received === 1, { deadlineMs: 10_000 });
  await lab.segment(0).cut(h2);
  const cut = await h1.weave("ping", "-c", "1", "h2");
  expect(cut.code).toBe(1);
});
