// SPDX-License-Identifier: Apache-2.0
// The commands of the name service against the API's server, and the paths that scripts of Weave Net users know.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { DnsBackend, NameFilter, NamesRequest } from "../../../src/api/dns.ts";
import { statusModel } from "../api/fake-backend.ts";
import { FakeDaemon } from "./fake-cli.ts";

const NAMES = [
  {
    name: "Web.weave.local.",
    address: "10.32.0.1",
    container: "c".repeat(64),
    origin: "8a:3e:3e:3e:3e:3e",
    version: 3,
    removed: false,
  },
  {
    name: "a-long-name-of-x.weave.local.",
    address: "fd00::1",
    container: "weave:extern",
    origin: "8a:3e:3e:3e:3e:3e",
    version: 4,
    removed: false,
  },
  { name: "gone.weave.local.", address: "10.32.0.2", container: "d", origin: "8a:3e:3e:3e:3e:3e", version: 5, removed: true },
];
const calls: unknown[][] = [];
const fakeDns: DnsBackend = {
  domain: () => "weave.local.",
  address: () => ({ host: "172.17.0.1", port: 53 }),
  names: () => NAMES,
  async add(request: NamesRequest) {
    calls.push(["add", request]);
    return { changed: 1, warnings: request.fqdn.endsWith("example.com") ? ["'x.example.com' does not lie in weave.local."] : [] };
  },
  async remove(request: NamesRequest) {
    calls.push(["remove", request]);
    return { changed: 1, warnings: [] };
  },
  async put(entry) {
    calls.push(["put", entry]);
  },
  drop(filter: NameFilter) {
    calls.push(["drop", filter]);
  },
};

let daemon: FakeDaemon;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
});
afterAll(async () => await daemon[Symbol.asyncDispose]());
beforeEach(() => {
  calls.length = 0;
  daemon.backend.dns = fakeDns;
  const dns = {
    domain: "weave.local.",
    upstream: ["9.9.9.9"],
    address: "172.17.0.1:53",
    ttlSeconds: 1,
    entries: 2,
    ownEntries: 2,
  };
  daemon.backend.model = statusModel({ dns });
});

describe("dns-add and dns-remove", () => {
  test("tell addresses from the container", async () => {
    expect((await daemon.run("dns-add", "10.2.1.1", "fd00::1", "web", "-h", "x.weave.local")).code).toBe(0);
    expect((await daemon.run("dns-add", "web")).code).toBe(0);
    expect((await daemon.run("dns-remove", "10.2.1.1", "-h", "x.weave.local")).code).toBe(0);
    expect(calls).toEqual([
      ["add", { container: "web", addresses: ["10.2.1.1", "fd00::1"], fqdn: "x.weave.local" }],
      ["add", { container: "web", addresses: [], fqdn: "" }],
      ["remove", { container: "", addresses: ["10.2.1.1"], fqdn: "x.weave.local" }],
    ]);
  });
  test("refuse what says nothing, and warn of what was not taken", async () => {
    for (const words of [["dns-add"], ["dns-add", "-h", "x.weave.local"], ["dns-add", "a", "b"], ["dns-remove"]]) {
      expect((await daemon.run(...words)).code).toBe(1);
    }
    expect(calls).toEqual([]);
    const { code, err } = await daemon.run("dns-add", "10.2.1.1", "-h", "x.example.com");
    expect([code, err]).toEqual([0, "weave dns-add: warning: 'x.example.com' does not lie in weave.local.\n"]);
  });
});

test("dns-args is what docker run takes; nothing without DNS, and that is no failure", async () => {
  expect((await daemon.run("dns-args")).out).toBe("--dns=172.17.0.1 --dns-search=weave.local.");
  daemon.backend.dns = undefined;
  expect(await daemon.run("dns-args")).toMatchObject({ code: 0, out: "" });
});

test("status shows the service, status dns its names, the domain left out", async () => {
  expect((await daemon.run("status")).out).toContain(
    "        Service: dns\n         Domain: weave.local.\n       Upstream: 9.9.9.9\n            TTL: 1\n        Entries: 2\n",
  );
  expect((await daemon.run("status", "dns")).out).toBe(
    "Web          10.32.0.1       cccccccccccc 8a:3e:3e:3e:3e:3e\na-long-name-of-x fd00::1         weave:extern 8a:3e:3e:3e:3e:3e\n",
  );
  daemon.backend.dns = undefined;
  expect(await daemon.run("status", "dns")).toMatchObject({ code: 1, out: "" });
});

test("report has the names with the keys it had", async () => {
  expect(
    (await daemon.run("report", "-f", "{{.DNS.Domain}} {{len .DNS.Entries}} {{(index .DNS.Entries 2).Tombstone}}")).out,
  ).toBe("weave.local. 3 1");
});

describe("paths of Weave Net", () => {
  const ask = async (method: string, path: string): Promise<[number, string]> => {
    const response = await fetch(`http://localhost${path}`, { method, unix: daemon.socket });
    return [response.status, await response.text()];
  };
  test("tell domain and address", async () => {
    expect(await ask("GET", "/domain")).toEqual([200, "weave.local."]);
    expect(await ask("GET", "/dns-address")).toEqual([200, "172.17.0.1"]);
    expect(await ask("GET", "/dns-address-port")).toEqual([200, "172.17.0.1:53"]);
    expect((await ask("GET", "/status/dns"))[1]).toContain("Web ");
    expect(JSON.parse((await ask("GET", "/name"))[1])[0]).toEqual({
      ContainerID: "c".repeat(64),
      Origin: 0x8a3e3e3e3e3e,
      Addr: "10.32.0.1",
      Hostname: "Web.weave.local.",
      Version: 3,
      Tombstone: 0,
    });
  });
  test("add and remove names", async () => {
    expect(await ask("PUT", "/name/c1/10.2.1.1?fqdn=x.weave.local&check-alive=true")).toEqual([204, ""]);
    expect(await ask("DELETE", "/name/c1/10.2.1.1?fqdn=x.weave.local")).toEqual([204, ""]);
    expect(await ask("DELETE", "/name/c1")).toEqual([204, ""]);
    expect(await ask("DELETE", "/name")).toEqual([204, ""]);
    expect(calls).toEqual([
      ["put", { container: "c1", ip: "10.2.1.1", fqdn: "x.weave.local", checkAlive: true }],
      ["drop", { container: "c1", ip: "10.2.1.1", fqdn: "x.weave.local" }],
      ["drop", { container: "c1" }],
      ["drop", {}],
    ]);
    expect((await ask("PUT", "/name/c1/10.2.1?fqdn=x.weave.local"))[0]).toBe(400);
    expect((await ask("DELETE", "/name/c1/nonsense"))[0]).toBe(400);
  });
  test("are not there without DNS", async () => {
    daemon.backend.dns = undefined;
    for (const path of ["/domain", "/dns-address", "/name", "/status/dns", "/v1/dns"]) {
      expect(await ask("GET", path)).toEqual([404, "404 page not found\n"]);
    }
  });
});
