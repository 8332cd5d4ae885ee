// SPDX-License-Identifier: Apache-2.0
// Attach and detach against a real bridge, real namespaces and a real database.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { formatMac } from "../../../src/net/mac.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { Background } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";
import { AttachWorld, failure } from "./world.ts";

let world: AttachWorld;
beforeEach(async () => {
  world = await AttachWorld.make();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

/** The host end of the only attachment. */
function onlyLink(): string {
  const [only, ...others] = world.parts.attacher.list();
  expect(others).toEqual([]);
  return only!.hostLink;
}

describe("attach", () => {
  test("a named namespace gets ethwe with its addresses, up, on the bridge, and the multicast route", async () => {
    const web = await world.container("web");
    const result = await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "ip:fd00:1::5/64"] });
    expect(result).toEqual({ addresses: ["10.32.1.5", "fd00:1::5"] as never, warnings: [] });
    expect(await world.addresses(web)).toEqual(["10.32.1.5/24", "fd00:1::5/64"]);
    expect(world.ports()).toEqual([onlyLink()]);
    expect(await world.inside(["ip", "route"], web)).toMatch(/224\.0\.0\.0\/4 dev ethwe .*scope link/);
    const link = await world.inside(["ip", "link", "show", "ethwe"], web);
    expect(link).toMatch(/<.*\bUP\b.*> mtu 1376 .*\n.*link\/ether/);
    expect(link).toContain(formatMac(world.parts.attacher.list()[0]!.mac));
  });

  test("of many at once each has a turn of the loop, so that others are served in between; detach likewise", async () => {
    const names = await Promise.all(["a", "b", "c", "d"].map((name) => world.container(name)));
    let turn = 0;
    const counting = setInterval(() => turn++, 0);
    const turns: number[] = [];
    world.onStep = (step) => void (step === "journal" && turns.push(turn));
    await Promise.all(
      names.map((target, index) => world.parts.attacher.attach({ target, addresses: [`10.32.1.${index + 1}/24`] })),
    );
    await Promise.all(names.map((target) => world.parts.attacher.detach({ target, addresses: [] })));
    clearInterval(counting);
    expect(turns.length).toBe(8);
    expect(new Set(turns).size).toBe(8);
  });

  test("settings inside: quick neighbour checks, no router advertisements, no waiting for duplicates", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["fd00:1::5/64"] });
    const read = async (path: string): Promise<string> => (await world.inside(["cat", `/proc/sys/net/${path}`], web)).trim();
    expect(await read("ipv4/neigh/ethwe/base_reachable_time")).toBe("5");
    expect(await read("ipv4/neigh/ethwe/delay_first_probe_time")).toBe("2");
    expect(await read("ipv4/neigh/ethwe/ucast_solicit")).toBe("1");
    expect(await read("ipv6/conf/ethwe/accept_ra")).toBe("0");
    expect(await world.inside(["ip", "-6", "addr"], web)).not.toContain("tentative");
    const host = await world.inside(["cat", `/proc/sys/net/ipv6/conf/${onlyLink()}/accept_ra`]);
    expect(host.trim()).toBe("0");
    expect(await world.inside(["ip", "-6", "addr", "show", "dev", onlyLink()])).toBe("");
  });

  test("IPv6 switched off by default in the container is switched on for an IPv6 address only", async () => {
    const [four, six] = [await world.container("four"), await world.container("six")];
    for (const name of [four, six])
      await world.inside(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"], name);
    await world.parts.attacher.attach({ target: four, addresses: ["10.32.1.5/24"] });
    await world.parts.attacher.attach({ target: six, addresses: ["fd00:1::5/64"] });
    expect(await world.inside(["ip", "-6", "addr", "show", "dev", "ethwe"], four)).toBe("");
    expect(await world.addresses(six)).toEqual(["fd00:1::5/64"]);
  });

  test("two of them reach each other over IPv4 and IPv6", async () => {
    const [web, db] = [await world.container("web"), await world.container("db")];
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "fd00:1::5/64"] });
    await world.parts.attacher.attach({ target: `netns:${db}`, addresses: ["10.32.1.6/24", "fd00:1::6/64"] });
    await world.inside(["ping", "-c1", "-W2", "10.32.1.5"], db);
    await world.inside(["ping", "-6", "-c1", "-W2", "fd00:1::6"], web);
  });

  test("again changes nothing; another address is added to the same interface", async () => {
    const web = await world.container("web");
    const { attacher } = world.parts;
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    const before = await world.inside(["ip", "-o", "addr"], web);
    const again = await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(again.addresses.map(String)).toEqual(["10.32.1.5"]);
    expect(await world.inside(["ip", "-o", "addr"], web)).toBe(before);
    const more = await attacher.attach({ target: web, addresses: ["10.32.2.5/24", "10.32.1.5/24"] });
    expect(more.addresses.map(String)).toEqual(["10.32.2.5", "10.32.1.5"]);
    expect(await world.addresses(web)).toEqual(["10.32.1.5/24", "10.32.2.5/24"]);
    expect(world.ports()).toEqual([onlyLink()]);
  });

  test("the same namespace by path, by name and by PID is the same attachment", async () => {
    const web = await world.container("web");
    await using sleeper = new Background(["ip", "netns", "exec", web, "sleep", "60"]);
    await waitFor("the process is inside", () => world.sameNetns(sleeper.pid, web));
    const { attacher } = world.parts;
    await attacher.attach({ target: `/run/netns/${web}`, addresses: ["10.32.1.5/24"] });
    await attacher.attach({ target: `${sleeper.pid}`, addresses: ["10.32.1.5/24"] });
    await attacher.attach({ target: `pid:${sleeper.pid}`, addresses: ["10.32.2.5/24"] });
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(attacher.list().flatMap((one) => one.addresses.map((cidr) => String(cidr.address)))).toEqual([
      "10.32.1.5",
      "10.32.2.5",
    ]);
  });

  test("a process gives its PID to the name of the host end", async () => {
    const web = await world.container("web");
    await using sleeper = new Background(["ip", "netns", "exec", web, "sleep", "60"]);
    await waitFor("the process is inside", () => world.sameNetns(sleeper.pid, web));
    await world.parts.attacher.attach({ target: `${sleeper.pid}`, addresses: ["10.32.1.5/24"] });
    expect(onlyLink()).toBe(`vethwepl${sleeper.pid}`);
  });

  test("the multicast route is left out on request, and somebody else's stays", async () => {
    const [web, db] = [await world.container("web"), await world.container("db")];
    await world.inside(["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"], db);
    await world.inside(["ip", "link", "set", "other0", "up"], db);
    await world.inside(["ip", "route", "add", "224.0.0.0/4", "dev", "other0"], db);
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"], multicastRoute: false });
    await world.parts.attacher.attach({ target: db, addresses: ["10.32.1.6/24"] });
    expect(await world.inside(["ip", "route"], web)).not.toContain("224.0.0.0");
    expect(await world.inside(["ip", "route", "show", "224.0.0.0/4"], db)).toContain("other0");
  });

  test("the guard knows MAC and addresses; without spoof check it lets everything pass", async () => {
    const [web, router] = [await world.container("web"), await world.container("router")];
    const { attacher } = world.parts;
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    await attacher.attach({ target: web, addresses: ["10.32.2.5/24"] });
    await attacher.attach({ target: router, addresses: ["10.32.1.1/24"], spoofCheck: false });
    const guards = attacher.list().map((one) => world.guardOf(one.hostLink));
    expect(guards[0]).toMatchObject({ mac: attacher.list()[0]!.mac });
    expect(guards[0]?.addresses.map((cidr) => String(cidr.address))).toEqual(["10.32.1.5", "10.32.2.5"]);
    expect(guards[1]?.mac).toBeUndefined();
  });

  test("a container that comes back with its address comes back with its MAC", async () => {
    const web = await world.container("web");
    const { attacher } = world.parts;
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    const before = attacher.list()[0]!.mac;
    await world.endContainer(web);
    const again = await world.container("web2");
    await attacher.attach({ target: again, addresses: ["10.32.1.5/24"] });
    expect(attacher.list().map((one) => one.mac)).toEqual([before]);
  });

  test("an address inside a route of the host is a warning, not an error", async () => {
    await world.inside(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1"]);
    await world.inside(["ip", "addr", "add", "10.32.0.1/16", "dev", "up0"]);
    await world.inside(["ip", "link", "set", "up0", "up"]);
    const web = await world.container("web");
    const { warnings } = await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(warnings).toEqual([`10.32.1.5/24 of '${web}' overlaps with this host's route 10.32.0.0/16 on 'up0'`]);
    expect(await world.addresses(web)).toEqual(["10.32.1.5/24"]);
  });
});

describe("attach refuses", () => {
  test("an address that another container on this host has, and names it", async () => {
    const [web, db] = [await world.container("web"), await world.container("db")];
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    const refusal = await failure(world.parts.attacher.attach({ target: db, addresses: ["10.32.2.6/24", "10.32.1.5/24"] }));
    expect(refusal.message).toBe(`cannot attach '${db}': 10.32.1.5 is held by '${web}' on this host`);
    expect(await world.addresses(db)).toEqual([]);
    expect(world.parts.attacher.list().length).toBe(1);
  });

  test("but not an address whose holder has ended", async () => {
    const [web, db] = [await world.container("web"), await world.container("db")];
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    await world.endContainer(web);
    await world.parts.attacher.attach({ target: db, addresses: ["10.32.1.5/24"] });
    expect(await world.addresses(db)).toEqual(["10.32.1.5/24"]);
    expect(world.parts.attacher.list().map((one) => one.name)).toEqual([db]);
  });

  test("the address of the host itself", async () => {
    const web = await world.container("web");
    await world.parts.exposer.expose({ addresses: ["10.32.1.5/24"] });
    const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] }));
    expect(refusal.message).toContain("10.32.1.5 is the address of this host (weave expose)");
  });

  test("another prefix length for an address it has", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/16"] }));
    expect(refusal.message).toContain("is attached already, as 10.32.1.5/24");
  });

  test("a namespace whose ethwe is somebody else's", async () => {
    const web = await world.container("web");
    await world.inside(["ip", "link", "add", "ethwe", "type", "veth", "peer", "name", "x"], web);
    const refusal = await failure(world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] }));
    expect(refusal.message).toContain("it has an interface 'ethwe' that weave did not make");
    expect(world.parts.attacher.list()).toEqual([]);
  });

  test("the host's own namespace, and a word that means nothing", async () => {
    const host = await failure(world.parts.attacher.attach({ target: world.host, addresses: ["10.32.1.5/24"] }));
    expect(host.message).toContain("is in the host's network namespace");
    const nothing = await failure(world.parts.attacher.attach({ target: "nothing-here", addresses: ["10.32.1.5/24"] }));
    expect(nothing).toBeInstanceOf(UserError);
    expect(nothing.message).toBe("no container, network namespace or process 'nothing-here'");
  });

  test("automatic addresses, where there is no allocator", async () => {
    const web = await world.container("web");
    for (const addresses of [[], ["net:default"], ["net:10.32.2.0/24"]]) {
      const refusal = await failure(world.parts.attacher.attach({ target: web, addresses }));
      expect(refusal.message).toContain("automatic addresses are switched off here");
      expect(refusal.hint).toBe("give ip:A.B.C.D/len");
    }
    expect(world.ports()).toEqual([]);
  });
});

describe("detach", () => {
  test("takes the named addresses, and the interface with the last one", async () => {
    const web = await world.container("web");
    const { attacher } = world.parts;
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24", "10.32.2.5/24", "fd00:1::5/64"] });
    const first = await attacher.detach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(first.addresses.map(String)).toEqual(["10.32.1.5"]);
    expect(await world.addresses(web)).toEqual(["10.32.2.5/24", "fd00:1::5/64"]);
    expect(world.guardOf(onlyLink())?.addresses.length).toBe(2);
    const rest = await attacher.detach({ target: web, addresses: [] });
    expect(rest.addresses.map(String)).toEqual(["10.32.2.5", "fd00:1::5"]);
    expect(await world.addresses(web)).toEqual([]);
    expect([world.ports(), [...world.switchPorts.ports.keys()], attacher.list()]).toEqual([[], [], []]);
  });

  test("a subnet means the addresses held in it", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "10.32.2.5/24"] });
    const gone = await world.parts.attacher.detach({ target: web, addresses: ["net:10.32.2.0/24"] });
    expect(gone.addresses.map(String)).toEqual(["10.32.2.5"]);
  });

  test("of something not attached, or of an address it does not have, is empty and no error", async () => {
    const web = await world.container("web");
    const { attacher } = world.parts;
    expect(await attacher.detach({ target: web, addresses: ["10.32.1.5/24"] })).toEqual({ addresses: [] });
    await attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(await attacher.detach({ target: web, addresses: ["10.32.1.6/24"] })).toEqual({ addresses: [] });
    expect(await world.addresses(web)).toEqual(["10.32.1.5/24"]);
  });

  test("an address of the container's own stays until the interface goes", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "10.32.2.5/24"] });
    await world.inside(["ip", "addr", "add", "192.0.2.1/32", "dev", "ethwe"], web);
    await world.parts.attacher.detach({ target: web, addresses: ["10.32.1.5/24"] });
    expect(await world.addresses(web)).toEqual(["10.32.2.5/24", "192.0.2.1/32"]);
  });
});

describe("a tap for a virtual machine", () => {
  test("is made on the bridge, known to the switch, and removed with its address", async () => {
    const { attacher } = world.parts;
    const result = await attacher.attach({ target: "tap-vm1", tap: true, addresses: ["10.32.1.9/24"] });
    expect(result.addresses.map(String)).toEqual(["10.32.1.9"]);
    expect(world.ports()).toEqual(["tap-vm1"]);
    const shown = await world.inside(["ip", "-d", "link", "show", "tap-vm1"]);
    expect(shown).toMatch(/<.*\bUP\b.*> mtu 1376/);
    expect(shown).toMatch(/tun type tap pi off vnet_hdr on persist on/);
    expect(world.guardOf("tap-vm1")?.mac).toBeUndefined();
    await attacher.attach({ target: "tap-vm1", tap: true, addresses: ["10.32.1.9/24"] });
    expect((await attacher.detach({ target: "tap-vm1", tap: true, addresses: [] })).addresses.map(String)).toEqual(["10.32.1.9"]);
    expect([world.ports(), world.links.get("tap-vm1"), attacher.list()]).toEqual([[], undefined, []]);
  });

  test("is made again when it is deleted by hand, and after a boot", async () => {
    await world.parts.attacher.attach({ target: "tap-vm1", tap: true, addresses: ["10.32.1.9/24"] });
    const before = world.links.get("tap-vm1");
    for (const bootId of ["boot-1", "boot-2"]) {
      world.links.delete("tap-vm1");
      world.crash();
      world.bootId = bootId;
      expect(await world.parts.attacher.reconcile()).toContain("tap-vm1: made");
      expect(world.ports()).toEqual(["tap-vm1"]);
      expect(world.links.get("tap-vm1")?.mac).toBe(before!.mac);
    }
  });

  test("takes no name of another link, and no bad one", async () => {
    const { attacher } = world.parts;
    for (const [name, why] of [
      ["lo", "weave names its own links so"],
      ["weave", "weave names its own links so"],
      ["a-name-of-16-char", "cannot be the name of a tap"],
      ["a/b", "cannot be the name of a tap"],
    ] as const) {
      const refusal = await failure(attacher.attach({ target: name, tap: true, addresses: ["10.32.1.9/24"] }));
      expect(refusal.message).toContain(why);
    }
    await world.inside(["ip", "link", "add", "taken0", "type", "veth", "peer", "name", "taken1"]);
    const taken = await failure(attacher.attach({ target: "taken0", tap: true, addresses: ["10.32.1.9/24"] }));
    expect(taken.message).toBe("cannot make the tap 'taken0': the host already has a link of that name");
  });
});

test("the bridge and the neighbours hear of a new address by ARP and neighbour advertisement", async () => {
  const [web, db] = [await world.container("web"), await world.container("db")];
  await world.parts.attacher.attach({ target: db, addresses: ["10.32.1.6/24", "fd00:1::6/64"] });
  await using listener = new Background([
    ...["ip", "netns", "exec", db, "tcpdump", "-i", "ethwe", "-nlUe"],
    "arp or (icmp6 and ip6[40] == 136)",
  ]);
  await waitFor("tcpdump listens", () => listener.stderr.includes("listening on"));
  await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "fd00:1::5/64"] });
  await waitFor("both announcements", () => /10\.32\.1\.5/.test(listener.stdout) && /fd00:1::5/.test(listener.stdout), {
    show: () => listener.stdout + listener.stderr,
  });
});

describe("requests that come together", () => {
  test("one address for two containers: one gets it, the other is told who", async () => {
    const names = [await world.container("one"), await world.container("two")];
    const results = await Promise.allSettled(
      names.map((target) => world.parts.attacher.attach({ target, addresses: ["10.32.1.5/24"] })),
    );
    expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(world.ports().length).toBe(1);
    const refused = results.find((result) => result.status === "rejected");
    expect(String(refused?.reason)).toContain("is held by");
  });

  test("the same container many times, with repairs in between, ends with all addresses on one interface", async () => {
    const web = await world.container("web");
    const wanted = Array.from({ length: 10 }, (_, i) => `10.32.1.${i + 1}/24`);
    const { attacher } = world.parts;
    await Promise.all(
      wanted.flatMap((address) => [attacher.attach({ target: web, addresses: [address] }), attacher.reconcile()]),
    );
    expect((await world.addresses(web)).sort()).toEqual([...wanted].sort());
    expect(world.ports().length).toBe(1);
    await Promise.all([...wanted.map((address) => attacher.detach({ target: web, addresses: [address] })), attacher.reconcile()]);
    expect([world.ports(), await world.addresses(web), attacher.list()]).toEqual([[], [], []]);
  });
});
