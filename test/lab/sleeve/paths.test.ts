// SPDX-License-Identifier: Apache-2.0
// What the way between two sleeves does to them: it drops large packets and says nothing, addresses change, it breaks off, it is silent for long.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { waitFor } from "../../support/wait.ts";
import { ping, SteadyPing } from "../switch/ping.ts";
import { inRounds, sendToEach, sendToGroups, Tally } from "../switch/tally.ts";
import { transfer } from "../switch/transfer.ts";
import { ipBatch, type Node, sh } from "../switch/world.ts";
import { Sleeves } from "./sleeves.ts";

const MB = 1 << 20;
const PAIR = { cables: [["a", "b"]] } as const;

function inside(node: Node, command: readonly string[], stdin?: string): string {
  return sh(["ip", "netns", "exec", node.netns, ...command], stdin);
}
/** Packets above `limit` bytes vanish on their way into this host, and no ICMP tells of it. */
function limitPackets(node: Node, limit: number): void {
  const chain = `type filter hook ingress device "u1" priority 0; policy accept;\nmeta length > ${limit} drop`;
  const rules = `flush ruleset\ntable netdev path {\nchain in {\n${chain}\n}\n}\n`;
  inside(node, ["nft", "-f", "-"], rules);
}
/** What is sent in one piece passes the filter in one piece, so the links make segments before. */
async function open(options: Partial<Parameters<typeof Sleeves.open>[0]> = {}) {
  const sleeves = await Sleeves.open({ ...PAIR, ...options, sessions: "none" });
  const [a, b] = [sleeves.world.node("a"), sleeves.world.node("b")];
  for (const node of [a, b]) inside(node, ["ethtool", "-K", "u1", "tx-udp-segmentation", "off", "gro", "off"]);
  return { sleeves, a, b, from: sleeves.world.guest("a"), to: sleeves.world.guest("b") };
}
const pathMtu = async (sleeves: Sleeves, own: Node, other: Node) =>
  (await sleeves.carrier(own.name).session(Sleeves.index(own, other))).pathMtuBytes;

describe("path MTU, ICMP filtered", () => {
  for (const limit of [1124, 1280, 1400, 1460]) {
    test(`packets above ${limit} bytes vanish from the beginning: 1 MB gets through without any configuration`, async () => {
      const { sleeves, a, b, from, to } = await open();
      await using _ = sleeves;
      for (const node of [a, b]) limitPackets(node, limit);
      sleeves.connect(a, b);
      expect(await transfer(from, to, to.address, MB, 5_000)).toMatchObject({ isIntact: true });
      await sleeves.settled(a, b, limit);
      expect(await pathMtu(sleeves, a, b)).toBe(limit);
    });
  }

  test("each direction has its own", async () => {
    const { sleeves, a, b } = await open();
    await using _ = sleeves;
    limitPackets(b, 1280);
    sleeves.connect(a, b);
    await waitFor("both sizes", async () => (await pathMtu(sleeves, a, b)) === 1280 && (await pathMtu(sleeves, b, a)) === 1500);
  });

  test("becomes smaller under a running TCP stream", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    await transfer(from, to, to.address, MB);
    for (const node of [a, b]) limitPackets(node, 1200);
    const { isIntact, tookMs } = await transfer(from, to, to.address, 4 * MB);
    expect(isIntact).toBe(true);
    expect(tookMs).toBeLessThan(5_000);
    expect(await pathMtu(sleeves, a, b)).toBe(1200);
  });

  test("a link of our own whose MTU falls is noticed at once", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    for (const node of [a, b]) ipBatch(node.netns, "link set u1 mtu 1300");
    const { tookMs, isIntact } = await transfer(from, to, to.address, MB);
    expect(isIntact).toBe(true);
    expect(tookMs).toBeLessThan(3_000);
    expect(await pathMtu(sleeves, a, b)).toBe(1300);
  });
});

describe("addresses", () => {
  test("a peer that speaks from another address is answered there, under a running stream", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    const steady = new SteadyPing(from, to.address);
    const stream = transfer(from, to, to.address, 30 * MB);
    ipBatch(a.netns, "addr add 10.99.1.9/24 dev u1", "addr del 10.99.1.1/24 dev u1", "addr add 10.99.1.9/24 dev u1");
    expect(await stream).toMatchObject({ isIntact: true });
    const { found } = await waitFor("the move", () => sleeves.carrier("b").last("moved"));
    expect(found).toMatchObject({ address: "10.99.1.9", port: 6783 });
    const { sent, received } = await steady.stop();
    expect(sent - received).toBeLessThan(20);
  });

  test("behind a NAT: whoever is reached first is reached for good, though its address was given wrong", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    // b is told to look for a where nobody is; only a knows where b is.
    const session = { cipher: "aes256gcm", secret: "11".repeat(32), port: 6783 } as const;
    const [ofA, ofB] = [Sleeves.index(a, b), Sleeves.index(b, a)];
    sleeves
      .carrier("b")
      .open({ ...session, neighbour: a.id, localIndex: ofB, remoteIndex: ofA, initiator: false, address: "10.99.1.200" });
    sleeves
      .carrier("a")
      .open({ ...session, neighbour: b.id, localIndex: ofA, remoteIndex: ofB, initiator: true, address: "10.99.1.2" });
    await sleeves.settled(a, b, 1500);
    expect(ping(from, to.address)).toMatchObject({ received: 3 });
  });
});

describe("sessions", () => {
  test("a second one takes over without a lost frame, and the old one ends", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    const steady = new SteadyPing(from, to.address);
    const [ofA, ofB] = [77_001, 77_002];
    const session = { cipher: "chacha20poly1305", secret: "22".repeat(32), port: 6783 } as const;
    sleeves
      .carrier("a")
      .open({ ...session, neighbour: b.id, localIndex: ofA, remoteIndex: ofB, initiator: true, address: "10.99.1.2" });
    sleeves
      .carrier("b")
      .open({ ...session, neighbour: a.id, localIndex: ofB, remoteIndex: ofA, initiator: false, address: "10.99.1.1" });
    await waitFor("the new session is used", async () => (await sleeves.carrier("a").session(ofA)).sent > 100);
    await waitFor("the old session is gone", async () => (await sleeves.carrier("a").figures()).sessions.length === 1, {
      deadlineMs: 15_000,
    });
    const { sent, received } = await steady.stop();
    expect(sent - received).toBeLessThanOrEqual(1); // the last is under way when it stops
  });

  test("one that is closed carries nothing more", async () => {
    const { sleeves, a, b, from, to } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    for (const [own, other] of [
      [a, b],
      [b, a],
    ] as const) {
      sleeves.carrier(own.name).order({ do: "close", localIndex: Sleeves.index(own, other) });
    }
    expect(ping(from, to.address, "-c", "2", "-i", "0.01", "-W", "0.2")).toMatchObject({ received: 0 });
    expect((await sleeves.carrier("a").figures()).drops["unknownNeighbour"]).toBeGreaterThan(0);
  });

  test("idle, it uses no processor time and says little", async () => {
    const { sleeves, a, b } = await open();
    await using _ = sleeves;
    sleeves.connect(a, b);
    await sleeves.settled(a, b, 1500);
    const ticks = () => {
      const fields = readFileSync(`/proc/${sleeves.carrier("a").workerPid()}/stat`, "latin1")
        .split(") ")[1]!
        .split(" ");
      return Number(fields[11]) + Number(fields[12]);
    };
    const [before, sent] = [ticks(), (await sleeves.carrier("a").session(Sleeves.index(a, b))).sent];
    await Bun.sleep(3_000); // measures idleness
    expect(ticks() - before).toBeLessThanOrEqual(2); // of 300
    expect((await sleeves.carrier("a").session(Sleeves.index(a, b))).sent - sent).toBeLessThanOrEqual(2);
  });

  test("a link that goes away ends it with a reason", async () => {
    const { sleeves, a } = await open();
    await using _ = sleeves;
    ipBatch(a.netns, "link del vethwe-pcap");
    const { found } = await waitFor("the failure", () => sleeves.carrier("a").last("failed"), { deadlineMs: 3_000 });
    expect(found.reason).toContain("vethwe-pcap");
  });
});

describe("several hosts", () => {
  test("groups once everywhere, known unicast to the addressee only, relayed from sleeve to sleeve", async () => {
    await using sleeves = await Sleeves.open({
      cables: [
        ["a", "b"],
        ["b", "c"],
        ["b", "d"],
      ],
    });
    const { world } = sleeves;
    for (const { a, b } of new Set([...world.nodes.values()].flatMap(({ cables }) => cables))) await sleeves.settled(a, b, 1500);
    using tally = new Tally(world);
    expect(await inRounds(tally, 5, sendToGroups)).toEqual([]);
    expect(await inRounds(tally, 5, sendToEach)).toEqual([]);
    expect(await transfer(world.guest("a"), world.guest("c"), world.guest("c").address, 10 * MB)).toMatchObject({
      isIntact: true,
    });
  });
});
