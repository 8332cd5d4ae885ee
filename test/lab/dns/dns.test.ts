// SPDX-License-Identifier: Apache-2.0
// Names with the compiled executable: known on every host at once, gone with their containers, kept over restarts.
//
//   h1, h2, h3 on one segment; h1 and h2 answer names on all their addresses, h3 on loopback
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { waitFor } from "../../support/wait.ts";
import { attach, launch, metric, waitForMesh } from "../../support/weave.ts";
import { ask, atHome, resolvesTo } from "./ask.ts";

let lab: Lab;
let hosts: readonly Host[];
let h1: Host;
let h2: Host;
let h3: Host;
const FLAGS = (host: Host): string[] => ["--dns-listen-address", host === h3 ? "127.0.0.1:53" : "0.0.0.0:53"];

async function start(host: Host): Promise<void> {
  await launch(
    host,
    ...FLAGS(host),
    ...hosts.filter((other) => other !== host && hosts.indexOf(other) < hosts.indexOf(host)).map((one) => one.address),
  );
}
async function everywhere(name: string, addresses: readonly string[], deadlineMs?: number): Promise<void> {
  await Promise.all(hosts.map((host) => resolvesTo(atHome(host), name, addresses, deadlineMs)));
}

beforeAll(async () => {
  const world = await wire("full", 3);
  lab = world.lab;
  hosts = world.hosts;
  [h1, h2, h3] = hosts as [Host, Host, Host];
  await Promise.all(hosts.map(start));
  await waitForMesh(hosts);
});
afterAll(async () => await lab?.close());

describe("a container's name", () => {
  test("is known on every host when it is attached, forward and reverse, and not when it is detached", async () => {
    await attach(h1, "web", "10.2.1.1/24", "fd00:2::1/64");
    await everywhere("web.weave.local", ["10.2.1.1"]);
    await everywhere("WEB", ["10.2.1.1"]);
    expect(await ask(atHome(h3), "web.weave.local", "AAAA")).toEqual({ rcode: 0, data: ["fd00:2::1"] });
    expect(await ask(atHome(h2), "1.1.2.10.in-addr.arpa", "PTR")).toEqual({ rcode: 0, data: ["web.weave.local"] });
    expect(await h2.mustWeave("dns-lookup", "web")).toBe("10.2.1.1\nfd00:2::1\n");
    expect(await h3.mustWeave("status", "dns")).toMatch(/^web {10}10\.2\.1\.1 {8}netns:\/run\/netns\/web [0-9a-f:]{17}\n/);
    await h1.mustWeave("detach", "web");
    await everywhere("web.weave.local", []);
  });

  test("is not registered with --without-dns", async () => {
    const quiet = await h1.container("quiet");
    await h1.mustWeave("attach", "--without-dns", "10.2.1.9/24", quiet.path);
    const loud = await attach(h1, "loud", "10.2.1.8/24");
    await everywhere("loud.weave.local", ["10.2.1.8"]);
    expect(await ask(atHome(h1), "quiet.weave.local")).toEqual({ rcode: 3, data: [] });
    await loud.remove();
    await quiet.remove();
    await everywhere("loud.weave.local", [], 60_000);
  });

  test("of two containers has both addresses in turn, and the one that is left when the other dies", async () => {
    const [a, b] = [await attach(h1, "a", "10.2.1.11/24"), await attach(h2, "b", "10.2.1.12/24")];
    await h1.mustWeave("dns-add", "a", "-h", "db.weave.local");
    await h2.mustWeave("dns-add", "b", "-h", "db.weave.local");
    await everywhere("db.weave.local", ["10.2.1.11", "10.2.1.12"]);
    const firsts = new Set<string>();
    await waitFor(
      "both to come first",
      async () => {
        firsts.add((await ask(atHome(h3), "db.weave.local"))?.data[0] ?? "none");
        return firsts.size === 2;
      },
      { everyMs: 1 },
    );
    await a.remove();
    await everywhere("db.weave.local", ["10.2.1.12"], 60_000);
    await b.remove();
    await everywhere("db.weave.local", [], 60_000);
  });
});

describe("names given by hand", () => {
  test("live until they are removed, by address or by name", async () => {
    await h1.mustWeave("dns-add", "10.2.1.21", "10.2.1.22", "-h", "printer.sub.weave.local");
    await everywhere("printer.sub.weave.local", ["10.2.1.21", "10.2.1.22"]);
    await h1.mustWeave("dns-remove", "10.2.1.21", "-h", "printer.sub.weave.local");
    await everywhere("printer.sub.weave.local", ["10.2.1.22"]);
    await h1.mustWeave("dns-remove", "-h", "PRINTER.sub.weave.local");
    await everywhere("printer.sub.weave.local", []);
  });

  test("outside the domain are not taken, and words that are no names refused", async () => {
    expect((await h1.weave("dns-add", "10.2.1.21", "-h", "x.example.com")).stderr).toContain("does not lie in weave.local.");
    expect(await h1.weave("dns-add", "10.2.1.21", "-h", "x..weave.local")).toMatchObject({ code: 1 });
    expect((await h1.weave("dns-add", "nobody", "-h", "x.weave.local")).code).toBe(1);
  });

  test("belong to the host's own address with expose -h, and containers can ask there", async () => {
    const c2 = await attach(h2, "c2", "10.2.1.2/24");
    await h2.mustWeave("expose", "10.2.1.254/24", "-h", "gateway.weave.local");
    const inside = { from: c2, server: "10.2.1.254", device: "ethwe" };
    await resolvesTo(inside, "gateway.weave.local", ["10.2.1.254"]);
    await resolvesTo(inside, "c2", ["10.2.1.2"]);
    await h2.mustWeave("hide");
    await everywhere("gateway.weave.local", []);
    await h2.mustWeave("detach", "c2");
  });
});

describe("a daemon", () => {
  test("that is restarted still has its names", async () => {
    await attach(h2, "stays", "10.2.1.31/24");
    await h2.mustWeave("dns-add", "10.2.1.99", "-h", "byhand.weave.local");
    await everywhere("stays.weave.local", ["10.2.1.31"]);
    await h2.mustWeave("stop");
    expect(await ask(atHome(h1), "stays.weave.local")).toEqual({ rcode: 0, data: ["10.2.1.31"] });
    await start(h2);
    await everywhere("stays.weave.local", ["10.2.1.31"]);
    await everywhere("byhand.weave.local", ["10.2.1.99"]);
  });

  test("that is killed brings back no name of a container that died meanwhile", async () => {
    const dies = await attach(h1, "dies", "10.2.1.41/24");
    await attach(h1, "lives", "10.2.1.42/24");
    await everywhere("dies.weave.local", ["10.2.1.41"]);
    await h1.killDaemon();
    await dies.remove();
    await start(h1);
    await everywhere("lives.weave.local", ["10.2.1.42"]);
    await everywhere("dies.weave.local", [], 60_000);
    await waitForMesh(hosts);
    await everywhere("dies.weave.local", []);
  });
});

describe("the name server", () => {
  test("says nothing to hosts of other networks", async () => {
    const stranger = { from: h1, server: h2.address, device: lab.segment(0).device(h1) };
    const before = await metric(h2, /^weave_dns_queries_total/);
    await ask(stranger, "stays.weave.local", "A", 300);
    await waitFor("the question to be counted", async () => (await metric(h2, /^weave_dns_dropped_total.*stranger/)) > 0);
    expect(await metric(h2, /^weave_dns_queries_total/)).toBe(before);
  });

  test("asks the host's own servers for other names, follows their file, and believes no wrong answer", async () => {
    const script = new URL("other-server.ts", import.meta.url).pathname;
    h3.background([process.execPath, script, "127.0.0.9"]);
    await h3.must(["sh", "-c", "rm -f /etc/resolv.conf; echo nameserver 127.0.0.9 >/etc/resolv.conf"]);
    await resolvesTo(atHome(h3), "www.example.com", ["192.0.2.1"], 20_000);
    expect(await metric(h3, /^weave_dns_upstream_total.*wrong-answer/)).toBeGreaterThan(0);
    expect(await h3.mustWeave("status")).toContain("Upstream: 127.0.0.9");
  });

  test("lives on under a flood of connections and of noise", async () => {
    const script = new URL("abuse.ts", import.meta.url).pathname;
    await h2.must([process.execPath, script, "127.0.0.1"]);
    await resolvesTo(atHome(h2), "stays.weave.local", ["10.2.1.31"]);
    expect(await metric(h2, /^weave_dns_dropped_total.*(too-many-clients|no-request|too-long)/)).toBeGreaterThan(100);
    expect(h2.daemonPid()).toBeDefined();
  });
});

test("with --no-dns there is none, and dns-args is empty", async () => {
  expect(await h1.mustWeave("dns-args")).toBe("--dns=127.0.0.1 --dns-search=weave.local.");
  await h1.mustWeave("stop");
  await launch(h1, "--no-dns");
  expect(await h1.mustWeave("dns-args")).toBe("");
  expect(await h1.weave("status", "dns")).toMatchObject({ code: 1 });
  expect((await h1.weave("dns-add", "10.2.1.1", "-h", "x.weave.local")).code).toBe(4);
  expect(await ask(atHome(h1), "stays.weave.local", "A", 300)).toBeUndefined();
});
