// SPDX-License-Identifier: Apache-2.0
// What is opened is closed: descriptors and memory before and after many rounds.
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Monitor } from "../../../native/netlink/monitor.ts";
import { announce } from "../../../src/host/announce.ts";
import { ensureBridge, removeBridge } from "../../../src/host/bridge.ts";
import { Links } from "../../../src/host/links.ts";
import { inNetns, Netns } from "../../../src/host/netns.ts";
import { ensureSysctl } from "../../../src/host/sysctl.ts";
import { parseCidr } from "../../../src/net/cidr.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { waitFor } from "../../support/wait.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

/** Fails when `round` leaves descriptors open; some are closed by another thread, hence the wait. */
async function expectNoLeak(rounds: number, round: () => void | Promise<void>): Promise<void> {
  await round(); // libraries are loaded and threads started once; what this round still has open only makes the count before larger by it
  const before = openDescriptors();
  for (let i = 0; i < rounds; i++) await round();
  await waitFor(`${before} descriptors again`, () => openDescriptors() <= before, { show: openDescriptors, deadlineMs: 3_000 });
}

describe.skipIf(!isRoot)("no descriptor is left open (needs root)", () => {
  test("by opening, asking and failing in other namespaces, 1000 times", async () => {
    using scratch = ScratchNetns.make();
    const prefix = parseCidr("10.32.0.1/12");
    await expectNoLeak(1_000, () => {
      using netns = Netns.open(scratch.path);
      using links = Links.openIn(netns);
      links.list();
      links.routes.list();
      links.routes.towards(parseIp("10.32.0.9") as Ip);
      if (prefix) expect(() => links.addAddress(999, prefix)).toThrow();
      inNetns(netns, () => 1);
      ensureSysctl("net/ipv4/ip_default_ttl", 64, netns);
      expect(() => Netns.open("/etc/passwd")).toThrow();
      expect(() => Netns.open("/proc/self/ns/uts")).toThrow();
    });
  });

  test("by making and removing a bridge with a container, 10 times", async () => {
    using scratch = ScratchNetns.make();
    const plan = { bridge: "weave", vxlan: "vxlan-6784", port: 6784, mtuBytes: 1410, mac: testMac(1) };
    await expectNoLeak(10, () => {
      using guest = ScratchNetns.make();
      const { bridgeIndex } = ensureBridge(scratch.links, plan, scratch.netns);
      scratch.links.createVeth(
        { name: "vethwepl1", mac: testMac(2), master: bridgeIndex, up: true },
        { name: "ethwe", mac: testMac(3), netns: guest.netns },
      );
      removeBridge(scratch.links);
    });
  });

  test("by announcing and watching, 10 times", async () => {
    using scratch = ScratchNetns.make();
    scratch.links.createVeth({ name: "a", mac: testMac(1), up: true }, { name: "b", mac: testMac(2) });
    scratch.links.change(scratch.links.get("b")?.index ?? 0, { up: true });
    await expectNoLeak(10, async () => {
      announce("a", testMac(1), [parseIp("10.32.0.1") as Ip], scratch.netns);
      expect(() => announce("none", testMac(1), [], scratch.netns)).toThrow();
      using _monitor = await Monitor.open(["LINK"], { message: () => {}, lost: () => {} });
    });
  });

  test("and the memory of 1000 dumps comes back", () => {
    using scratch = ScratchNetns.make();
    for (let i = 0; i < 50; i++)
      scratch.links.createVeth({ name: `a${i}`, mac: testMac(i) }, { name: `b${i}`, mac: testMac(100 + i) });
    const dump = () => {
      for (let i = 0; i < 500; i++) scratch.links.list();
      Bun.gc(true);
      return process.memoryUsage.rss();
    };
    dump();
    const before = dump();
    dump();
    expect(dump() - before).toBeLessThan(8 * 2 ** 20);
  });
});
