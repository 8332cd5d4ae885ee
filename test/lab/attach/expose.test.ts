// SPDX-License-Identifier: Apache-2.0
// The host's own addresses on the bridge: a real bridge, a real packet filter, a container behind it and a machine outside.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { NftFirewall } from "../../../src/host/nft.ts";
import { Background, run } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";
import { AttachWorld, BRIDGE, failure } from "./world.ts";

let world: AttachWorld;
let firewall: NftFirewall;
beforeEach(async () => {
  world = await AttachWorld.make();
  firewall = new NftFirewall({ home: world.home });
  world.firewall = firewall;
});
afterEach(async () => {
  firewall[Symbol.dispose]();
  await world[Symbol.asyncDispose]();
});

const table = async (): Promise<string> => {
  const shown = await run(["ip", "netns", "exec", world.host, "nft", "list", "ruleset"]);
  return shown.stdout;
};

describe("expose", () => {
  test("gives the host an address; the host and a container reach each other", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24", "fd00:1::5/64"] });
    const result = await world.parts.exposer.expose({ addresses: ["10.32.1.1/24", "fd00:1::1/64"] });
    expect(result.addresses.map(String)).toEqual(["10.32.1.1", "fd00:1::1"]);
    await world.inside(["ping", "-c1", "-W2", "10.32.1.5"]);
    await world.inside(["ping", "-6", "-c1", "-W2", "fd00:1::5"]);
    await world.inside(["ping", "-c1", "-W2", "10.32.1.1"], web);
    expect(world.parts.exposer.list()).toMatchObject({ owner: "weave:expose", mac: world.links.get(BRIDGE)?.mac });
  });

  test("masquerades both ways, but not multicast and not inside", async () => {
    await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
    const rules = await table();
    expect(rules).toContain("table inet weave");
    expect(rules).toContain("ip saddr 10.32.1.0/24 ip daddr 224.0.0.0/4 return");
    expect(rules).toContain('oifname "weave" ip saddr != 10.32.1.0/24 ip daddr 10.32.1.0/24 masquerade');
    expect(rules).toContain("ip saddr 10.32.1.0/24 ip daddr != 10.32.1.0/24 masquerade");
  });

  for (const masquerade of [true, false]) {
    test(`a machine outside sees ${masquerade ? "the host's" : "the container's"} address ${masquerade ? "with" : "without"} masquerading`, async () => {
      const [web, outside] = [await world.container("web"), await world.container("out")];
      await world.inside(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", outside]);
      await world.inside([
        "sh",
        "-c",
        "ip addr add 192.0.2.1/24 dev up0; ip link set up0 up; echo 1 >/proc/sys/net/ipv4/ip_forward",
      ]);
      await world.inside(
        ["sh", "-c", "ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up; ip route add default via 192.0.2.1"],
        outside,
      );
      await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
      await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"], masquerade });
      await world.inside(["ip", "route", "add", "default", "via", "10.32.1.1"], web);
      await using listener = new Background(["ip", "netns", "exec", outside, "tcpdump", "-i", "eth0", "-nlU", "icmp[0] == 8"]);
      await waitFor("tcpdump listens", () => listener.stderr.includes("listening on"));
      await world.inside(["ping", "-c1", "-W2", "192.0.2.2"], web);
      const seen = `IP ${masquerade ? "192.0.2.1" : "10.32.1.5"} > 192.0.2.2`;
      await waitFor(seen, () => listener.stdout.includes(seen), { show: () => listener.stdout });
    });
  }

  test("again changes nothing; the other choice of masquerading changes just that", async () => {
    const { exposer } = world.parts;
    await exposer.expose({ addresses: ["10.32.1.1/24"] });
    const before = await table();
    expect((await exposer.expose({ addresses: ["10.32.1.1/24"] })).addresses.map(String)).toEqual(["10.32.1.1"]);
    expect(await table()).toBe(before);
    await exposer.expose({ addresses: ["10.32.1.1/24"], masquerade: false });
    expect(await table()).toBe("");
    expect(await world.addresses(world.host, BRIDGE)).toEqual(["10.32.1.1/24"]);
  });

  test("what overlaps with a route of the host is refused, naming route and device", async () => {
    await world.inside([
      "sh",
      "-c",
      "ip link add up0 type veth peer name up1; ip addr add 10.32.0.1/16 dev up0; ip link set up0 up",
    ]);
    const refusal = await failure(world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] }));
    expect(refusal.message).toBe("cannot expose 10.32.1.1/24: it overlaps with this host's route 10.32.0.0/16 on 'up0'");
    expect(await world.addresses(world.host, BRIDGE)).toEqual([]);
  });

  test("an address of a container here is refused", async () => {
    const web = await world.container("web");
    await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
    const refusal = await failure(world.parts.exposer.expose({ addresses: ["10.32.1.5/24"] }));
    expect(refusal.message).toContain(`the address is held by '${web}' on this host`);
  });

  test("a host firewall that drops what is forwarded is named in a warning", async () => {
    await world.inside([
      "nft",
      "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
    ]);
    const { warnings } = await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
    expect(warnings).toEqual([expect.stringContaining("the firewall chain 'ip filter FORWARD' drops what this host forwards")]);
  });
});

describe("hide", () => {
  test("takes address and rules away, and is no error when there is nothing", async () => {
    const { exposer } = world.parts;
    await exposer.expose({ addresses: ["10.32.1.1/24", "10.32.2.1/24"] });
    expect((await exposer.hide({ addresses: ["10.32.1.1/24"] })).addresses.map(String)).toEqual(["10.32.1.1"]);
    expect(await table()).not.toContain("10.32.1.0/24");
    expect(await table()).toContain("10.32.2.0/24");
    expect((await exposer.hide({ addresses: [] })).addresses.map(String)).toEqual(["10.32.2.1"]);
    expect(await exposer.hide({ addresses: [] })).toEqual({ addresses: [] });
    expect([await table(), await world.addresses(world.host, BRIDGE), exposer.list().addresses]).toEqual(["", [], []]);
  });
});

describe("a restart", () => {
  test("restores addresses and rules after a flush, a lost address and a new bridge, with the choice of masquerading", async () => {
    await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
    await world.parts.exposer.expose({ addresses: ["10.32.2.1/24"], masquerade: false });
    const before = await table();
    world.crash();
    expect(await world.parts.exposer.reconcile()).toEqual([]);
    const hands = [
      ["nft", "flush", "ruleset"],
      ["nft", "flush chain inet weave postrouting"],
      ["ip", "addr", "flush", "dev", BRIDGE],
    ];
    for (const command of hands) {
      await world.inside(command);
      expect(await world.parts.exposer.reconcile()).not.toEqual([]);
      expect(await table()).toBe(before);
      expect(await world.addresses(world.host, BRIDGE)).toEqual(["10.32.1.1/24", "10.32.2.1/24"]);
      expect(await world.parts.exposer.reconcile()).toEqual([]);
    }
    expect(before).not.toContain("10.32.2.0");
  });

  test("a rule that somebody added or removed in our table is noticed", async () => {
    await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
    const before = await table();
    await world.inside(["nft", "add rule inet weave postrouting accept"]);
    expect(await world.parts.exposer.reconcile()).toEqual(["firewall: table 'inet weave' written"]);
    expect(await table()).toBe(before);
  });
});

describe("a crash at every step", () => {
  class Crash extends Error {}
  async function atEveryStep(operation: () => Promise<unknown>, check: (step: string) => Promise<void>): Promise<string[]> {
    const steps: string[] = [];
    for (let count = 0; ; count++) {
      let [seen, at] = [0, ""];
      world.onStep = (step) => {
        if (seen++ < count) return;
        at ||= step;
        throw new Crash(step);
      };
      world.firewall = { ...world.firewall, apply: (ruleset) => (at ? Promise.reject(new Crash(at)) : firewall.apply(ruleset)) };
      world.crash();
      await operation().catch(() => undefined);
      world.onStep = () => {};
      world.firewall = firewall;
      world.crash();
      if (at === "") return steps;
      steps.push(at);
      await world.parts.exposer.reconcile();
      await check(at);
    }
  }

  test("of an expose: undone", async () => {
    const steps = await atEveryStep(
      () => world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] }),
      async () => {
        expect([await table(), await world.addresses(world.host, BRIDGE), world.parts.store.exposures.exposures()]).toEqual([
          "",
          [],
          [],
        ]);
      },
    );
    expect(steps).toEqual(["journal", "address", "firewall", "journal done"]);
    expect(await world.addresses(world.host, BRIDGE)).toEqual(["10.32.1.1/24"]);
  });

  test("of a hide: completed", async () => {
    await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
    const steps = await atEveryStep(
      () => world.parts.exposer.hide({ addresses: [] }),
      async (step) => {
        const gone = step !== "journal";
        expect(await world.addresses(world.host, BRIDGE)).toEqual(gone ? [] : ["10.32.1.1/24"]);
        if (gone) await world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] });
      },
    );
    expect(steps).toEqual(["journal", "address", "firewall", "journal drop"]);
    expect(await table()).toBe("");
  });
});

test("without the packet filter's library, exposing without masquerading works and with it says what to install", async () => {
  const missing = "cannot masquerade: libnftables is not installed";
  const script = `
    const { AttachWorld, failure } = await import("${import.meta.dir}/world.ts");
    const { NftFirewall } = await import("${import.meta.dir}/../../../src/host/nft.ts");
    await using world = await AttachWorld.make();
    world.firewall = new NftFirewall({ home: world.home });
    console.log(String((await world.parts.exposer.expose({ addresses: ["10.32.2.1/24"], masquerade: false })).addresses));
    const refusal = await failure(world.parts.exposer.expose({ addresses: ["10.32.1.1/24"] }));
    console.log(refusal.message + "; " + refusal.hint);
    console.log(String(await world.addresses(world.host, "weave")));`;
  // A mount namespace in which the library is an empty file.
  const libraries = (await run(["sh", "-c", "ldconfig -p | sed -n 's/.*libnftables.so.1 .*=> //p'"])).stdout.trim().split("\n");
  const hide = libraries.map((path) => `mount --bind /dev/null ${path}`).join(" && ");
  const shown = await run([
    "unshare",
    "-m",
    "--propagation",
    "slave",
    "sh",
    "-c",
    `${hide} && exec ${process.execPath} -e '${script}'`,
  ]);
  expect(shown.stderr).toBe("");
  const [without, refusal, left] = shown.stdout.trim().split("\n");
  expect(without).toBe("10.32.2.1");
  expect(refusal).toStartWith(missing);
  expect(refusal).toContain("install libnftables1");
  expect(left).toBe("10.32.2.1/24");
});
