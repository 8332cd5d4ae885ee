// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import type { Message } from "../../../native/netlink/codec.ts";
import { decodeLink } from "../../../native/netlink/link.ts";
import { Monitor } from "../../../native/netlink/monitor.ts";
import { BridgeSettings, ensureBridge, removeBridge } from "../../../src/host/bridge.ts";
import { type KernelChange, KernelWatch } from "../../../src/host/kernel-watch.ts";
import { inNetns } from "../../../src/host/netns.ts";
import { ensureSysctl } from "../../../src/host/sysctl.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { PATIENCE, staysFor, waitFor } from "../../support/wait.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

const PLAN = { bridge: "weave", vxlan: "vxlan-6784", port: 6784, mtuBytes: 1410, mac: testMac(1) };

/** A watched namespace with the bridge in it. */
class Watched implements Disposable {
  readonly scratch = ScratchNetns.make();
  readonly seen: KernelChange[][] = [];
  #watch: KernelWatch | undefined;
  async open(delayMs = 5): Promise<this> {
    ensureBridge(this.scratch.links, PLAN, this.scratch.netns);
    const onChange = (changes: ReadonlySet<KernelChange>) => void this.seen.push([...changes].sort());
    const options = { clock: systemClock, links: this.scratch.links, bridge: "weave", onChange, delayMs };
    // The function runs inside until its first await; the socket is made before that.
    const opening: { promise?: Promise<KernelWatch> } = {};
    inNetns(this.scratch.netns, () => {
      opening.promise = KernelWatch.open(options);
    });
    this.#watch = await opening.promise;
    return this;
  }
  async told(change: KernelChange): Promise<void> {
    await waitFor(`told of a change: ${change}`, () => this.seen.flat().includes(change), { deadlineMs: 2_000 });
    this.seen.length = 0;
  }
  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.scratch[Symbol.dispose]();
  }
}

function quiet(seen: readonly unknown[]): () => boolean {
  const before = seen.length;
  return () => seen.length === before;
}

describe.skipIf(!isRoot)("watching the kernel (needs root)", () => {
  const OURS: readonly (readonly [what: string, command: string])[] = [
    ["the VXLAN device removed", "ip link del vxlan-6784"],
    ["the bridge switched off", "ip link set weave down"],
    ["a port leaving the bridge", "ip link set vxlan-6784 nomaster"],
    ["a queueing discipline on the VXLAN device", "tc qdisc add dev vxlan-6784 root pfifo"],
    ["an address on the bridge", "ip addr add 10.32.0.1/12 dev weave"],
    ["an IPv6 address on the bridge", "ip addr add fd00::1/64 dev weave"],
    ["a route through the bridge", "ip route add 10.99.0.0/16 dev weave"],
    ["a link of WireGuard's name", "ip link add weave-wg type veth peer name p1"],
    ["a routing rule for inside addresses", "ip -6 rule add to fd77:6561:7665::/48 unreachable"],
    ["a route to some of them", "ip -6 route add unreachable fd77:6561:7665:1::/64"],
    ["our table of the packet filter", "nft add table inet weave"],
    ["a setting of the bridge", "sysctl -q -w net.ipv4.conf.weave.rp_filter=1"],
    ["a setting of all links", "sysctl -q -w net.ipv6.conf.all.forwarding=1"],
    ["the sleeve's link", "ip link add vethwe-sleeve type veth peer name vethwe-pcap"],
    ["a new port", "ip link add p0 master weave type veth peer name p1"],
  ];
  for (const [what, command] of OURS) {
    test(`${what} is told as ours`, async () => {
      using watched = await new Watched().open();
      watched.scratch.run(...command.split(" "));
      await watched.told("ours");
    });
  }

  test("a setting of which the kernel tells nobody is looked at: told within a second, with little delay after that", async () => {
    using watched = await new Watched().open();
    for (const setting of ["ipv6.conf.weave.accept_ra=1", "ipv4.neigh.weave.ucast_solicit=3"]) {
      const before = performance.now();
      watched.scratch.run("sysctl", "-q", "-w", `net.${setting}`);
      await waitFor("told", () => watched.seen.flat().includes("ours"), { deadlineMs: 2_000, everyMs: 5 });
      expect(performance.now() - before).toBeLessThan(PATIENCE * 1_000);
      ensureBridge(watched.scratch.links, PLAN, watched.scratch.netns);
      await waitFor("quiet", () => staysFor(900, quiet(watched.seen)));
      watched.seen.length = 0;
    }
  });

  test("a setting of which the kernel tells is told at once, not at the next look", async () => {
    using watched = await new Watched().open();
    for (const value of [1, 0, 1, 0]) {
      const before = performance.now();
      watched.scratch.run("sysctl", "-q", "-w", `net.ipv4.conf.weave.rp_filter=${value}`);
      await watched.told("ours");
      expect(performance.now() - before).toBeLessThan(PATIENCE * 300);
    }
  });

  test("the settings of a bridge made anew are looked at, too", async () => {
    using scratch = ScratchNetns.make();
    inNetns(scratch.netns, () => {
      using settings = new BridgeSettings("weave");
      expect(settings.areRight()).toBe(true); // there are none
      for (let time = 0; time < 2; time++) {
        ensureBridge(scratch.links, PLAN);
        expect(settings.areRight()).toBe(true);
        ensureSysctl("net/ipv6/conf/weave/accept_ra", 2);
        expect(settings.areRight()).toBe(false);
        removeBridge(scratch.links);
        expect(settings.areRight()).toBe(true);
      }
    });
  });

  test("changes beside the bridge are told as the underlay's", async () => {
    using watched = await new Watched().open();
    watched.scratch.run("ip", "link", "set", "lo", "up");
    await watched.told("underlay");
    watched.scratch.run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo");
    await waitFor("told", () => watched.seen.length > 0);
    expect(new Set(watched.seen.flat())).toEqual(new Set(["underlay"]));
  });

  test("our table flushed by somebody who flushes everything is told, other tables are not", async () => {
    using watched = await new Watched().open();
    watched.scratch.run("nft", "add table inet other; add chain inet other c; add rule inet other c accept");
    await waitFor("quiet", () => staysFor(30, quiet(watched.seen)));
    expect(watched.seen).toEqual([]);
    watched.scratch.run("nft", "add table inet weave; add chain inet weave c");
    await watched.told("ours");
    watched.scratch.run("nft", "add rule inet weave c accept");
    await watched.told("ours");
    watched.scratch.run("nft", "flush ruleset");
    await watched.told("ours");
  });

  test("a bridge made anew is known again", async () => {
    using watched = await new Watched().open();
    removeBridge(watched.scratch.links);
    await watched.told("ours");
    ensureBridge(watched.scratch.links, PLAN, watched.scratch.netns);
    await watched.told("ours");
    await waitFor("quiet", () => staysFor(30, quiet(watched.seen)));
    watched.seen.length = 0;
    watched.scratch.run("ip", "addr", "add", "10.32.0.1/12", "dev", "weave");
    await watched.told("ours");
  });

  test("a burst is told once", async () => {
    using watched = await new Watched().open(200);
    for (let i = 0; i < 20; i++)
      watched.scratch.links.change(watched.scratch.links.get("weave")?.index ?? 0, { mtuBytes: 1300 + i });
    await waitFor("told", () => watched.seen.length > 0);
    expect(watched.seen).toEqual([["ours"]]);
  });

  test("more than the queue holds is told as lost, and listening goes on", async () => {
    using scratch = ScratchNetns.make();
    const counts = { last: 0, lost: 0 };
    const opening: { promise?: Promise<Monitor> } = {};
    inNetns(scratch.netns, () => {
      const message = (received: Message): void => {
        counts.last = decodeLink(received)?.index ?? 0;
      };
      opening.promise = Monitor.open(["LINK"], { message, lost: () => void counts.lost++ });
    });
    using _monitor = (await opening.promise) as Monitor;
    for (let i = 0; i < 3_000; i++) scratch.links.change(1, { mtuBytes: 2_000 + i });
    await waitFor("told of the loss", () => counts.lost > 0);
    const index = scratch.links.createBridge({ name: "late", mac: testMac(9) }, {}).index;
    // The queue may still be full when the link is made: then its message is among the lost, and the next change of it is told.
    let changes = 0;
    await waitFor("told of a new link", () => {
      if (counts.last === index) return true;
      scratch.links.change(index, { mtuBytes: 1_000 + changes++ });
      return false;
    });
  });

  test("nothing is told after the end", async () => {
    const watched = await new Watched().open();
    watched[Symbol.dispose]();
    expect(await staysFor(30, () => watched.seen.length === 0)).toBe(true);
  });
});
