// SPDX-License-Identifier: Apache-2.0
// Where MACs are: moves with and without a word, the same MAC twice, ageing, forgetting, and very many of them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ShortId } from "../../../src/mesh/peer-name.ts";
import { encodeProbe, FrameSocket } from "../../support/frames.ts";
import { staysFor, waitFor } from "../../support/wait.ts";
import { ping, SteadyPing } from "./ping.ts";
import { Tally } from "./tally.ts";
import { count } from "./wire.ts";
import { type Guest, ipBatch, macOf, type Node, netnsPath, sh, World } from "./world.ts";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const MOVER = "02:00:00:00:77:01";
const CHAIN = [
  ["a", "b"],
  ["b", "c"],
] as const;

function peerOf(node: Node, mac: string): number | undefined {
  return node.datapath.macs().find((entry) => entry.mac === macOf(mac))?.peer;
}

describe("a MAC that is in two places", () => {
  let world: World;
  let atA: Guest;
  let atC: Guest;
  let tally: Tally;
  beforeAll(() => {
    world = new World({ cables: CHAIN });
    [atA, atC] = [world.node("a"), world.node("c")].map((node) => node.addGuest({ mac: MOVER, silent: true })) as [Guest, Guest];
    tally = new Tally(world);
  });
  afterAll(() => {
    tally[Symbol.dispose]();
    world[Symbol.dispose]();
  });
  const others = () => tally.guests.filter((guest) => guest !== atA && guest !== atC);

  test("is where it spoke last: one broadcast repairs all hosts at once", async () => {
    for (const [place, other] of [
      [atA, atC],
      [atC, atA],
      [atA, atC],
    ] as const) {
      tally.sendToAll(place, BROADCAST);
      expect(await tally.faults()).toEqual([]);
      for (const from of others()) tally.send(from, MOVER, [place]);
      expect(await tally.faults()).toEqual([]);
      expect(peerOf(other.host, MOVER)).toBe(place.host.id);
      expect(peerOf(place.host, MOVER)).toBe(0);
    }
  });

  test("without a broadcast it is found with the first frame that passes a host", async () => {
    tally.sendToAll(atA, BROADCAST);
    expect(await tally.faults()).toEqual([]);
    const onlooker = world.guest("b");
    tally.send(atC, onlooker.mac, [onlooker]);
    expect(await tally.faults()).toEqual([]);
    expect(peerOf(onlooker.host, MOVER)).toBe(atC.host.id);
    tally.send(onlooker, MOVER, [atC]);
    expect(await tally.faults()).toEqual([]);
  });

  test("is counted when it goes to and fro", async () => {
    const b = world.node("b");
    const before = count(b, "mac-moved");
    const onlooker = world.guest("b");
    for (let i = 0; i < 10; i++) {
      for (const place of [atA, atC]) {
        tally.send(place, onlooker.mac, [onlooker]);
        expect(await tally.faults()).toEqual([]);
      }
    }
    expect(count(b, "mac-moved") - before).toBeGreaterThanOrEqual(19);
    expect(count(b, "mac-moved") - before).toBeLessThanOrEqual(20);
  });

  test("is sent to nobody once its port is detached, until it speaks again", async () => {
    tally.sendToAll(atA, BROADCAST);
    expect(await tally.faults()).toEqual([]);
    ipBatch(atA.host.netns, `link set ${atA.port} down`);
    atA.host.inside(() => atA.host.datapath.detachPort(atA.ifindex));
    expect(peerOf(atA.host, MOVER)).toBeUndefined();
    tally.sendToAll(atC, BROADCAST); // on another host the container has been started anew
    await waitFor("the new place", () => peerOf(atA.host, MOVER) === atC.host.id);
  });
});

describe("ageing", () => {
  test("an entry that was not heard for its time is unknown: frames for it take the tree again", async () => {
    using world = new World({ cables: CHAIN, guestsPerHost: 0, tuning: { macAgeMs: 1_500, macStampMs: 50 } });
    for (const node of world.nodes.values()) node.addGuest({ silent: true });
    using tally = new Tally(world);
    const [from, to] = [world.guest("a"), world.guest("c")];
    const flooded = () => from.host.inside(() => from.host.datapath.counters()).peers.get(0xfff as ShortId)?.sent.packets ?? 0;
    tally.sendToAll(to, BROADCAST);
    expect(await tally.faults()).toEqual([]);
    const before = flooded();
    tally.send(from, to.mac, [to]);
    expect(await tally.faults()).toEqual([]);
    expect(flooded()).toBe(before);
    const hasAged = () => peerOf(from.host, to.mac) === undefined;
    await waitFor("the entry's end", hasAged, { deadlineMs: 5_000 });
    expect(await staysFor(30, hasAged)).toBe(true); // the switch's clock is the kernel's coarse one: up to 10 ms behind ours
    tally.send(from, to.mac, [to]); // the bridges still know it, so nobody else sees it
    expect(await tally.faults()).toEqual([]);
    expect(flooded()).toBe(before + 1);
  });

  test("what has aged makes room for others behind a port with a limit", async () => {
    using world = new World({ cables: [["a", "b"]], tuning: { macAgeMs: 300, macStampMs: 100 } });
    const a = world.node("a");
    const free = a.addGuest({ unguarded: true, macLimit: 2, silent: true });
    using socket = new FrameSocket(netnsPath(free.netns), "ethwe");
    const sendFrom = (last: number) =>
      socket.send(encodeProbe({ destination: BROADCAST, source: `02:00:00:00:66:0${last}`, sender: 1, sequence: 1 }));
    for (let i = 1; i <= 6; i++) sendFrom(i); // two periods may have been touched
    expect(count(a, "mac-limit")).toBeGreaterThanOrEqual(2);
    await waitFor("room for another", () => {
      sendFrom(9);
      return peerOf(a, "02:00:00:00:66:09") === 0;
    });
  });

  test("a forgotten MAC is learned again from its next frame", async () => {
    using world = new World({ cables: CHAIN });
    using tally = new Tally(world);
    const guest = world.guest("a");
    const { host } = guest;
    tally.sendToAll(guest, BROADCAST);
    expect(await tally.faults()).toEqual([]);
    host.inside(() => host.datapath.forgetMac(macOf(guest.mac)));
    expect(peerOf(host, guest.mac)).toBeUndefined();
    tally.sendToAll(guest, BROADCAST);
    expect(await tally.faults()).toEqual([]);
    expect(peerOf(host, guest.mac)).toBe(0);
  });

  for (const [stampMs, isKept] of [
    [200, true],
    [60_000, false],
  ] as const) {
    test(`the bridge ${isKept ? "keeps" : "would forget"} MACs that bypass it when they are shown to it every ${stampMs} ms`, async () => {
      using world = new World({ cables: [["a", "b"]], tuning: { macStampMs: stampMs } });
      const [from, to] = [world.guest("a"), world.guest("b")];
      // A dump that was disturbed ends with an error; what it shows up to there says nothing.
      const isKnown = () => {
        const { exitCode, stdout } = Bun.spawnSync(["bridge", "-n", from.host.netns, "fdb", "show", "br", "weave"]);
        return exitCode === 0 ? stdout.toString().includes(`${from.mac} dev ${from.port}`) : undefined;
      };
      ping(from, to.address);
      await waitFor("the bridge to know it", isKnown);
      ipBatch(from.host.netns, "link set weave type bridge ageing_time 100"); // one second
      const steady = new SteadyPing(from, to.address);
      const began = performance.now();
      let alwaysKnown = true;
      while (performance.now() - began < 2_500 && alwaysKnown) {
        alwaysKnown = isKnown() ?? alwaysKnown;
        await Bun.sleep(100);
      }
      const { sent, received } = await steady.stop();
      expect(received).toBe(sent);
      expect(alwaysKnown).toBe(isKept);
    });
  }
});

describe("very many MACs", () => {
  let world: World;
  beforeAll(() => {
    world = new World({ cables: [["a", "b"]] });
  });
  afterAll(() => world[Symbol.dispose]());

  /** Writes `mac` as the frame's source. */
  function setSource(frame: Uint8Array, number: number): void {
    frame.set([2, 0x11, number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff], 6);
  }
  function bridgeEntries(node: Node): number {
    return sh(["bridge", "-n", node.netns, "fdb", "show", "br", "weave"]).split("\n").length;
  }
  /** Sends one frame from each of `total` MACs. */
  function churn(guest: Guest, total: number, destination: string): void {
    using socket = new FrameSocket(netnsPath(guest.netns), "ethwe");
    const frame = encodeProbe({ destination, source: guest.mac, sender: 1, sequence: 1 });
    for (let i = 0; i < total; i++) {
      setSource(frame, Math.imul(i, 0x9e3779b1) >>> 0);
      socket.send(frame);
    }
  }

  test("10,000 behind one unguarded port are all known everywhere, and each is reached", async () => {
    const [a, b] = [world.node("a"), world.node("b")];
    const free = a.addGuest({ unguarded: true });
    using tally = new Tally(world);
    churn(free, 10_000, BROADCAST);
    const known = () => b.datapath.macs().filter(({ peer }) => peer === a.id).length;
    await waitFor("10,000 MACs", () => known() >= 10_000, { show: known });
    expect(a.datapath.macs().filter(({ ifindex }) => ifindex === free.ifindex).length).toBeGreaterThanOrEqual(10_000);
    for (const i of [0, 1, 4_999, 9_999]) {
      const frame = new Uint8Array(12);
      setSource(frame, Math.imul(i, 0x9e3779b1) >>> 0);
      const mac = [...frame.subarray(6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
      tally.send(world.guest("b"), mac, [free]);
    }
    expect(await tally.faults()).toEqual([]);
    a.removeGuest();
  });

  test("300,000 random ones stop at the port's limit: tables stay bounded, others lose nothing and keep their entries", async () => {
    const [a, b] = [world.node("a"), world.node("b")];
    const free = a.addGuest({ unguarded: true });
    const [from, to] = [world.guest("a"), world.guest("b")];
    ping(from, to.address);
    const before = count(a, "mac-limit");
    const steady = new SteadyPing(from, to.address);
    churn(free, 300_000, to.mac);
    const { sent, received } = await steady.stop();
    expect(received).toBe(sent);
    expect(count(a, "mac-limit") - before).toBeGreaterThan(280_000);
    for (const node of [a, b]) {
      expect(node.datapath.macs().length).toBeLessThan(16_384 + 10_000 + 100);
      expect(bridgeEntries(node)).toBeLessThan(16_384 + 10_000 + 200);
      expect([from, to].every((guest) => peerOf(node, guest.mac) !== undefined)).toBe(true);
    }
    a.removeGuest();
  });

  test("from a guarded port none of them is ever learned", () => {
    const a = world.node("a");
    const before = a.datapath.macs().length;
    const drops = count(a, "source-mac");
    churn(world.guest("a"), 50_000, world.guest("b").mac);
    expect(count(a, "source-mac") - drops).toBe(50_000);
    expect(a.datapath.macs().length).toBeLessThanOrEqual(before);
  });
});
