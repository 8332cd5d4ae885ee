// SPDX-License-Identifier: Apache-2.0
// How hosts come to share addresses out, and what happens where they cannot: halves that were started apart, seeds, observers, ranges that clash, IPv6
// twins, no allocation at all. Each test has a lab of its own.
import { describe, expect, test } from "bun:test";
import type { IpamStatus } from "../../src/api/status.ts";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, metric, statusOf, waitForMesh } from "../support/weave.ts";

async function ipamOf(host: Host): Promise<IpamStatus> {
  const { ipam } = await statusOf(host);
  if (!ipam) throw new Error(`no allocation on ${host.name}`);
  return ipam;
}
const others = (hosts: readonly Host[], host: Host): string[] => hosts.filter((one) => one !== host).map((one) => one.address);

describe("a ring begins", () => {
  test("not in two halves that were started apart; when they meet, all get their answers", async () => {
    await using lab = await Lab.open();
    const hosts = await lab.addHosts("h1", "h2", "h3", "h4");
    const segment = await lab.connect(hosts);
    const halves = [hosts.slice(0, 2), hosts.slice(2)];
    await segment.partition(halves);
    await Promise.all(hosts.map((host) => launch(host, ...others(hosts, host))));
    const answers = hosts.map(async (host) => (await host.mustWeave("attach", (await host.container("c")).path)).trim());
    for (const host of hosts) {
      await waitFor(`${host.name} to wait for consensus`, async () => {
        const { status, pendingAllocates } = await ipamOf(host);
        return status === "awaiting consensus (quorum: 3, known: 2)" && pendingAllocates.length === 1;
      });
    }
    expect((await Promise.all(hosts.map(ipamOf))).flatMap(({ shares }) => shares)).toEqual([]);
    await segment.join();
    const given = await Promise.all(answers);
    expect(new Set(given).size).toBe(4);
    const rings = (await Promise.all(hosts.map(ipamOf))).map(({ shares }) =>
      shares
        .map(({ name, addresses }) => `${name} ${addresses}`)
        .sort()
        .join(),
    );
    expect(new Set(rings).size).toBe(1);
  });

  test("once, when several attach at the same time on hosts that were only told of the first", async () => {
    await using lab = await Lab.open();
    const hosts = (await lab.addHosts("h1", "h2", "h3")) as [Host, Host, Host];
    await lab.connect(hosts);
    await Promise.all(hosts.map((host) => launch(host, ...(host === hosts[0] ? [] : [hosts[0].address]))));
    await waitForMesh(hosts);
    const given = await Promise.all(hosts.map(async (host) => host.mustWeave("attach", (await host.container("c")).path)));
    expect(new Set(given).size).toBe(3);
    for (const host of hosts) expect((await ipamOf(host)).strangers).toEqual([]);
  });

  test("a host whose database is lost keeps its containers' addresses, and learns the ring from the others", async () => {
    await using lab = await Lab.open();
    const hosts = (await lab.addHosts("h1", "h2")) as [Host, Host];
    await lab.connect(hosts);
    const [h1, h2] = hosts;
    await launch(h1);
    await launch(h2, h1.address);
    await waitForMesh(hosts);
    const container = await h1.container("c");
    const before = (await h1.mustWeave("attach", container.path)).trim();
    const ring = (await ipamOf(h2)).entries.length;
    await h1.killDaemon();
    await h1.must(["sh", "-c", "rm /var/lib/weave/weave.db*"]);
    await launch(h1);
    expect((await ipamOf(h1)).active).toBe(1);
    await waitForMesh(hosts);
    expect((await h1.mustWeave("attach", (await h1.container("d")).path)).trim()).not.toBe(before);
    expect((await ipamOf(h1)).strangers).toEqual([]);
    expect((await ipamOf(h1)).entries.length).toBeLessThanOrEqual(ring + 2);
    expect((await h1.mustWeave("ps", container.path)).trim()).toContain(before);
  });

  test("with seeds at once and alike, without a word", async () => {
    await using lab = await Lab.open();
    const hosts = await lab.addHosts("h1", "h2");
    const segment = await lab.connect(hosts);
    const [h1, h2] = hosts as [Host, Host];
    await segment.partition([[h1], [h2]]);
    const given: string[] = [];
    for (const [index, host] of hosts.entries()) {
      await launch(host, "--name", `::${index + 1}`, "--ipalloc-init", "seed=::1,::2", ...others(hosts, host));
      given.push((await host.mustWeave("attach", (await host.container("c")).path)).trim());
    }
    expect(given).toEqual(["10.32.0.1", "10.40.0.0"]);
    await segment.join();
    await waitForMesh(hosts);
    for (const host of hosts)
      expect((await statusOf(host)).warnings.filter((warning) => warning.includes("shares no"))).toEqual([]);
  });

  test("not by an observer: it waits, says why it gives up, and gets its share of an elector's ring", async () => {
    await using lab = await Lab.open();
    const [observer, elector] = (await lab.addHosts("h1", "h2")) as [Host, Host];
    await lab.connect([observer, elector]);
    await launch(observer, "--ipalloc-init", "observer", "--ipalloc-timeout", "1");
    const refused = await observer.weave("prime");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("within 1 s: the peers have not agreed yet")]);
    expect((await ipamOf(observer)).status).toBe("priming");
    await launch(elector, "--ipalloc-init", "consensus=1", observer.address);
    await waitFor("a ring on the observer", async () => (await ipamOf(observer)).status === "ready");
    const container = await observer.container("c");
    expect((await observer.mustWeave("attach", container.path)).trim()).toMatch(/^10\.\d+\.\d+\.\d+$/);
    expect((await ipamOf(observer)).shares.map(({ nickname }) => nickname).sort()).toEqual(["h1", "h2"]);
  });

  test("hosts that began apart, each alone, stay connected and say that they share no addresses", async () => {
    await using lab = await Lab.open();
    const hosts = (await lab.addHosts("h1", "h2")) as [Host, Host];
    await lab.connect(hosts);
    for (const host of hosts) {
      await launch(host);
      await host.mustWeave("prime");
    }
    await hosts[0].mustWeave("connect", hosts[1].address);
    await waitForMesh(hosts);
    for (const host of hosts) {
      await waitFor("a warning", async () =>
        (await statusOf(host)).warnings.some((warning) => warning.includes("first shared out among other peers")),
      );
    }
    expect(await metric(hosts[0], /^weave_ipam_strangers /)).toBe(1);
    await waitForMesh(hosts);
  });

  test("a request ends when whoever asked goes away", async () => {
    await using lab = await Lab.open();
    const host = (await lab.addHosts("h1"))[0]!;
    await lab.connect([host]);
    await launch(host, "--ipalloc-init", "consensus=3");
    const gone = new AbortController();
    const body = JSON.stringify({ target: (await host.container("c")).path });
    const headers = { "Content-Type": "application/json" };
    const url = "http://weave/v1/attach";
    const asked = fetch(url, { method: "POST", body, headers, signal: gone.signal, unix: host.file("/run/weave/api.sock") });
    await waitFor("the request to wait", async () => (await ipamOf(host)).pendingAllocates.length === 1);
    gone.abort();
    await asked.catch(() => undefined);
    await waitFor("the request to end", async () => (await ipamOf(host)).pendingAllocates.length === 0, { deadlineMs: 5_000 });
  });
});

describe("options", () => {
  test("the usual range gives way to a route of the host on a new network; one that was given is refused", async () => {
    await using lab = await Lab.open();
    const host = (await lab.addHosts("h1"))[0]!;
    const segment = await lab.connect([host]);
    expect(segment).toBeDefined();
    await host.must(["ip", "route", "add", "10.40.0.0/16", "dev", "e1"]);
    for (const flags of [["--ipalloc-range", "10.32.0.0/12"], ["192.0.2.1"]]) {
      const refused = await host.weave("launch", ...flags);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("it overlaps with this host's route 10.40.0.0/16 on 'e1'");
    }
    await launch(host);
    expect((await ipamOf(host)).range).toBe("10.48.0.0/12");
    expect((await host.mustWeave("expose")).trim()).toBe("10.48.0.1");
    // What is in use stays, whatever routes come and go.
    await host.must(["ip", "route", "delete", "10.40.0.0/16", "dev", "e1"]);
    await host.must(["ip", "route", "add", "10.50.0.0/16", "dev", "e1"]);
    for (const flags of [[], ["--ipalloc-range", "10.48.0.0/12"]]) {
      await host.killDaemon();
      await launch(host, ...flags);
      expect((await ipamOf(host)).range).toBe("10.48.0.0/12");
    }
  });

  test("addresses have IPv6 twins, which reach each other and are free again with them", async () => {
    await using lab = await Lab.open();
    const host = (await lab.addHosts("h1"))[0]!;
    await lab.connect([host]);
    await launch(host, "--ipalloc-range6", "fd00:32::/96", "--ipalloc-default-subnet", "10.33.0.0/16");
    const [a, b] = await host.containers("a", "b");
    const given = [(await host.mustWeave("attach", a!.path)).trim(), (await host.mustWeave("attach", b!.path)).trim()];
    expect(given).toEqual(["10.33.0.1 fd00:32::a21:1", "10.33.0.2 fd00:32::a21:2"]);
    expect(await a!.reaches("fd00:32::a21:2")).toBe(true);
    const taken = await host.weave("attach", "fd00:32::a21:1/112", b!.path);
    expect([taken.code, taken.stderr]).toEqual([1, expect.stringContaining("it is held by")]);
    expect((await host.mustWeave("detach", "net:default", a!.path)).trim()).toBe(given[0]!);
    expect((await host.mustWeave("attach", a!.path)).trim()).toBe(given[0]!);
  });

  test("of a peer without them, or with others, are told on both sides, and IPv4 addresses are shared all the same", async () => {
    await using lab = await Lab.open();
    const hosts = (await lab.addHosts("h1", "h2")) as [Host, Host];
    await lab.connect(hosts);
    await launch(hosts[0], "--ipalloc-range6", "fd00:32::/96");
    await launch(hosts[1], hosts[0].address);
    await waitForMesh(hosts);
    const given = await Promise.all(hosts.map(async (host) => host.mustWeave("attach", (await host.container("c")).path)));
    expect(new Set(given.map((text) => text.split(" ")[0]?.trim())).size).toBe(2);
    for (const host of hosts) {
      await waitFor(
        "a warning",
        async () => (await statusOf(host)).warnings.some((warning) => warning.includes("has another IPv6 range")),
        { deadlineMs: 60_000, everyMs: 200 },
      );
    }
  });

  test("without allocation explicit addresses work, and the rest says so", async () => {
    await using lab = await Lab.open();
    const host = (await lab.addHosts("h1"))[0]!;
    await lab.connect([host]);
    await launch(host, "--ipalloc-range", "");
    const container = await host.container("c");
    expect((await host.mustWeave("attach", "10.32.0.1/12", container.path)).trim()).toBe("10.32.0.1");
    const refused = await host.weave("attach", (await host.container("d")).path);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("automatic addresses are switched off here")]);
    expect((await host.weave("prime")).code).toBe(4);
    expect((await host.weave("status", "ipam")).code).toBe(1);
    expect(await host.mustWeave("status")).not.toContain("ipam");
    expect((await fetch("http://weave/ring", { unix: host.file("/run/weave/api.sock") })).status).toBe(404);
    expect(await (await fetch("http://weave/metrics", { unix: host.file("/run/weave/api.sock") })).text()).not.toContain(
      "weave_ips",
    );
  });

  test.each([
    ["--ipalloc-range", "10.32.0.1/12", "it has host bits set"],
    ["--ipalloc-range", "10.32.0.0/31", "its prefix length is not from 4 to 30"],
    ["--ipalloc-range", "fd00::/64", "not an IPv4 subnet"],
    ["--ipalloc-range6", "fd00::/100", "less room than a /96"],
    ["--ipalloc-range6", "2001:db8::/64", "not a unique local range"],
    ["--ipalloc-default-subnet", "10.9.0.0/16", "lies outside the range 10.32.0.0/12"],
    ["--ipalloc-init", "quorum", "no such way"],
    ["--ipalloc-init", "seed=x", "not a peer name"],
  ])("%s %s is refused: %s", async (flag, value, why) => {
    await using lab = await Lab.open();
    const host = (await lab.addHosts("h1"))[0]!;
    await lab.connect([host]);
    const refused = await host.weave("launch", flag, value);
    expect(refused.code).toBeGreaterThan(0);
    expect(refused.stderr).toContain(why);
  });
});
