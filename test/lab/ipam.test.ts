// SPDX-License-Identifier: Apache-2.0
// Addresses without thinking: containers get one that nobody else has, keep it over every kind of restart, and hosts agree on who gives out what.
//
//   h1 ── h2 ── h3 on one segment, one target each
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { IpamStatus } from "../../src/api/status.ts";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import type { Segment } from "../support/segment.ts";
import { waitFor } from "../support/wait.ts";
import { launch, metric, statusOf, waitForMesh } from "../support/weave.ts";

const FULL = ["--ipalloc-init", "consensus=3"];

async function ipamOf(host: Host): Promise<IpamStatus> {
  const { ipam } = await statusOf(host);
  if (!ipam) throw new Error(`no allocation on ${host.name}`);
  return ipam;
}
/** Attaches without an address; what it got. */
async function attachAny(container: Container, ...words: readonly string[]): Promise<string> {
  return (await container.host.mustWeave("attach", ...words, container.path)).trim();
}
async function api(host: Host, method: string, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://weave${path}`, { method, unix: host.file("/run/weave/api.sock") });
  return { status: response.status, text: await response.text() };
}

describe("three hosts", () => {
  let lab: Lab;
  let segment: Segment;
  let hosts: readonly Host[];
  let h1: Host;
  let h2: Host;
  let h3: Host;
  const containers: Container[] = [];
  const addresses = new Map<string, string>();

  beforeAll(async () => {
    lab = await Lab.open();
    hosts = await lab.addHosts("h1", "h2", "h3");
    [h1, h2, h3] = hosts as [Host, Host, Host];
    segment = await lab.connect(hosts);
    await Promise.all(hosts.map((host) => launch(host, ...FULL, ...(host === h1 ? [] : [h1.address]))));
    await waitForMesh(hosts);
  });
  afterAll(async () => await lab?.close());

  test("nothing is shared out before somebody asks; 'prime' asks and waits", async () => {
    expect((await ipamOf(h1)).status).toBe("idle");
    expect(await h1.mustWeave("status", "ipam")).toBe("");
    expect(await h1.mustWeave("prime")).toBe("");
    await waitFor("a ring everywhere", async () =>
      (await Promise.all(hosts.map(ipamOf))).every((ipam) => ipam.status === "ready"),
    );
    const [first, ...others] = (await h1.mustWeave("status", "ipam")).trimEnd().split("\n");
    expect(first).toMatch(/^[0-9a-f:]{17}\(h1\) {16} +\d+ IPs \(33\.3% of total\) \(0 active\)$/);
    expect(others).toHaveLength(2);
    expect(await h1.mustWeave("status")).toContain(
      "        Service: ipam\n         Status: ready\n          Range: 10.32.0.0/12\n  DefaultSubnet: 10.32.0.0/12\n",
    );
  });

  test("attach without an address gives each container another one, and they reach each other", async () => {
    for (const host of hosts) containers.push(...(await host.containers("a", "b")));
    const given = await Promise.all(containers.map((container) => attachAny(container)));
    for (const [index, address] of given.entries()) {
      expect(address).toMatch(/^10\.(3[2-9]|4[0-7])\.\d+\.\d+$/);
      const container = containers[index]!; // as many as were given
      addresses.set(`${container.host.name} ${container.name}`, address);
    }
    expect(new Set(given).size).toBe(6);
    expect(await containers[0]!.reaches(given[5]!)).toBe(true);
    expect(await attachAny(containers[0]!)).toBe(given[0]!);
  });

  test("net:default, subnets, exact addresses and several at once; detach by subnet frees them", async () => {
    const [c] = (await h1.containers("multi")) as [Container];
    const given = await attachAny(c, "net:default", "net:10.40.1.0/24", "ip:10.45.0.9/24", "10.9.9.9/24");
    expect(given).toMatch(/^10\.\d+\.\d+\.\d+ 10\.40\.1\.\d+ 10\.45\.0\.9 10\.9\.9\.9$/);
    const second = given.split(" ")[1];
    expect((await h1.mustWeave("detach", "net:10.40.1.0/24", c.path)).trim()).toBe(second ?? "");
    await h1.mustWeave("detach", c.path);
    const held = (await api(h1, "GET", "/ip")).text;
    for (const address of given.split(" ")) expect(held).not.toContain(address);
  });

  test("an address that another host's container has is refused with that host's name", async () => {
    const [c] = (await h2.containers("rival")) as [Container];
    const refused = await h2.weave("attach", `${addresses.get("h3 a")}/12`, c.path);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`cannot claim ${addresses.get("h3 a")}: it is held by '/run/netns/a' on peer`);
    expect(refused.stderr).toContain("(h3)");
    const local = await h3.weave("expose", `${addresses.get("h3 a")}/12`);
    expect([local.code, local.stderr]).toEqual([1, expect.stringContaining("it is held by '/run/netns/a' on this host")]);
  });

  test("expose and hide without an address", async () => {
    const given = (await h2.mustWeave("expose")).trim();
    expect(await containers[0]!.reaches(given)).toBe(true);
    expect((await h2.mustWeave("expose")).trim()).toBe(given);
    expect((await h2.mustWeave("ps")).split("\n")[0]).toMatch(new RegExp(`^weave:expose [0-9a-f:]{17} ${given}/12$`));
    expect((await h2.mustWeave("hide")).trim()).toBe(given);
    expect((await api(h2, "GET", "/ip")).text).not.toContain(given);
  });

  test("kill -9 and a restart keep addresses; so does a restart of all", async () => {
    for (const round of ["one", "all"]) {
      const chosen = round === "one" ? [h1] : hosts;
      await Promise.all(chosen.map((host) => host.killDaemon()));
      await Promise.all(chosen.map((host) => launch(host, ...FULL, ...(host === h1 ? [] : [h1.address]))));
      for (const container of containers) {
        expect(await attachAny(container)).toBe(addresses.get(`${container.host.name} ${container.name}`) ?? "");
      }
    }
    await waitForMesh(hosts);
    const ringOf = async (host: Host): Promise<string> =>
      JSON.stringify((await ipamOf(host)).entries.map(({ start, name, version }) => [start, name, version]));
    await waitFor("one ring everywhere", async () => new Set(await Promise.all(hosts.map(ringOf))).size === 1);
  });

  test("a container that comes again gets its address again, another one does not get it at once", async () => {
    const before = addresses.get("h1 b") ?? "";
    await h1.mustWeave("detach", "/run/netns/b");
    const [other] = (await h1.containers("other")) as [Container];
    expect(await attachAny(other)).not.toBe(before);
    expect(await attachAny(containers[1]!)).toBe(before);
    await h1.mustWeave("detach", "/run/netns/other");
  });

  test("the paths of the API", async () => {
    expect(await api(h1, "GET", "/ipinfo/defaultsubnet")).toEqual({ status: 200, text: "10.32.0.0/12" });
    expect(await api(h1, "GET", "/ipinfo/tracker")).toEqual({ status: 200, text: "" });
    expect(await api(h1, "GET", "/ring")).toEqual({ status: 200, text: "" });
    const first = await api(h1, "POST", "/ip/x1");
    expect(first.text).toMatch(/^10\.\d+\.\d+\.\d+\/12$/);
    expect(await api(h1, "POST", "/ip/x1")).toEqual(first);
    expect(await api(h1, "GET", "/ip/x1")).toEqual(first);
    expect((await api(h1, "PUT", "/ip/x2/10.41.0.7/16")).status).toBe(204);
    expect((await api(h1, "PUT", "/ip/x3/10.41.0.7/16")).text).toContain("it is held by 'x2' on this host");
    expect(await api(h1, "GET", "/ip/x2/10.41.0.0/16")).toEqual({ status: 200, text: "10.41.0.7/16" });
    expect(await api(h1, "POST", "/ip/x2/10.41.0.0/16")).toEqual({ status: 200, text: "10.41.0.7/16" });
    const anonymous = (await api(h1, "POST", "/ip/_")).text.split("/")[0] ?? "";
    expect(await api(h1, "DELETE", `/ip/${anonymous}`)).toEqual({ status: 204, text: "" });
    expect(await api(h1, "DELETE", `/ip/x2/10.41.0.7`)).toEqual({ status: 204, text: "" });
    expect(await api(h1, "DELETE", "/ip/x1")).toEqual({ status: 204, text: "" });
    expect(await api(h1, "DELETE", "/ip/x1")).toEqual({ status: 400, text: "Delete: no addresses for x1\n" });
    for (const path of ["/ip/x/10.41.0.1/16", "/ip/x/10.41.0.0/31", "/ip/x/10.9.0.0/16"]) {
      expect([path, (await api(h1, "POST", path)).status]).toEqual([path, 400]);
    }
    expect(await metric(h1, /^weave_ips\{state="local-used"\}/)).toBe((await ipamOf(h1)).active);
    expect(await metric(h1, /^weave_max_ips /)).toBe(2 ** 20);
  });

  test.each([
    ["net:10.41.0.1/16", "host bits"],
    ["net:10.41.0.0/31", "leaves no room"],
    ["net:10.41.0.1/32", "leaves no room"],
    ["net:10.9.0.0/16", "it lies outside the range 10.32.0.0/12"],
    ["net:10.41.0.0", "has no prefix length"],
    ["10.41.0.0/16", "network address"],
    ["10.41.0.300/16", "is not an address"],
  ])("%s is refused: %s", async (word, why) => {
    const refused = await h1.weave("attach", word, containers[0]!.path);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(why)]);
  });

  test("a full subnet is refused at once, and works again when something leaves it", async () => {
    const small = await h1.containers("s1", "s2", "s3");
    const given = [await attachAny(small[0]!, "net:10.44.0.0/30"), await attachAny(small[1]!, "net:10.44.0.0/30")];
    expect(given.sort()).toEqual(["10.44.0.1", "10.44.0.2"]);
    const refused = await h1.weave("attach", "net:10.44.0.0/30", small[2]!.path);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no address is free in 10.44.0.1-10.44.0.2: all 2 are in use"),
    });
    await h1.mustWeave("detach", small[0]!.path);
    expect(given).toContain(await attachAny(small[2]!, "net:10.44.0.0/30"));
  });

  test("reset hands space over; rmpeer takes over from a dead peer and refuses a live one", async () => {
    expect((await h1.weave("rmpeer", "h3")).stderr).toContain("that peer is alive");
    await h3.mustWeave("reset");
    const owners = async (): Promise<string> =>
      (await ipamOf(h1)).shares
        .map(({ nickname }) => nickname)
        .sort()
        .join();
    await waitFor("h3 to own nothing", async () => (await owners()) === "h1,h2");
    await h2.killDaemon();
    await segment.plug(h2, "out");
    await waitFor("h2 to be gone", async () => (await h1.mustWeave("status", "ipam")).includes("- unreachable!"), {
      deadlineMs: 20_000,
    });
    expect(await h1.mustWeave("rmpeer", "h2")).toMatch(/^\d+ IPs taken over from h2\n$/);
    expect(await h1.mustWeave("rmpeer", "nobody")).toBe("0 IPs taken over from nobody\n");
    expect((await ipamOf(h1)).shares).toMatchObject([{ nickname: "h1", addresses: 2 ** 20 }]);
  });
});
