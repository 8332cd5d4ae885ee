// SPDX-License-Identifier: Apache-2.0
// Path probes: reflected by the neighbour's kernel, also without a process there; what they cost and what they show.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrameSocket } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import { ping } from "./ping.ts";
import { count } from "./wire.ts";
import { ipBatch, type Node, netnsPath, World } from "./world.ts";

for (const ipv6 of [undefined, "all"] as const) {
  describe(`over ${ipv6 ? "IPv6" : "IPv4"}`, () => {
    let world: World;
    let a: Node;
    let b: Node;
    beforeAll(() => {
      world = new World({ cables: [["a", "b"]], ...(ipv6 ? { ipv6 } : {}) });
      [a, b] = [world.node("a"), world.node("b")];
    });
    afterAll(() => world[Symbol.dispose]());

    function probe(sequence: number, padToBytes?: number): void {
      const address = world.cable("a", "b").addresses.get(b);
      if (address === undefined) throw new Error("no address");
      a.inside(() => a.datapath.probe(b.id, { kind: "fastdp", address }, sequence, padToBytes));
    }
    async function replies(wanted: number): Promise<number[]> {
      const found: number[] = [];
      await waitFor("replies", () => {
        for (const { neighbour, sequence, rttMs } of a.datapath.probeReplies()) {
          expect(neighbour).toBe(b.id);
          expect(rttMs).toBeGreaterThan(0);
          expect(rttMs).toBeLessThan(1_000);
          found.push(sequence);
        }
        return found.length >= wanted;
      });
      return found.sort((x, y) => x - y);
    }

    test("each probe is answered once, with its round trip", async () => {
      for (const sequence of [5, 8, 0xffff_ffff]) probe(sequence);
      expect(await replies(3)).toEqual([5, 8, 0xffff_ffff]);
      expect([...a.datapath.probeReplies()]).toEqual([]);
      expect(count(b, "probe-reflected")).toBe(3);
    });

    test("it is answered while no process has the neighbour's switch open", async () => {
      b.close();
      probe(20);
      expect(await replies(1)).toEqual([20]);
      b.open();
    });

    test("an unpadded one has 72 bytes on an IPv4 wire, its answer too", async () => {
      using tap = new FrameSocket(netnsPath(b.netns), "u1", "both");
      probe(30);
      await replies(1);
      const lengths = tap
        .drain()
        .filter((frame) => frame.includes(0x88) && Buffer.from(frame).includes(Buffer.from([0x02, 0x77, 0x76, 0x70])))
        .map((frame) => frame.length);
      expect(lengths).toEqual(ipv6 ? [92, 92] : [72, 72]);
    });

    test("padded ones tell which size still passes", async () => {
      const outer = ipv6 ? 40 + 16 : 20 + 16; // IP, UDP and VXLAN headers
      probe(40, 1500 - outer);
      expect(await replies(1)).toEqual([40]);
      for (const node of [a, b]) ipBatch(node.netns, "link set u1 mtu 1400");
      probe(41, 1401 - outer);
      probe(42, 1400 - outer);
      expect(await replies(1)).toEqual([42]);
      expect([...a.datapath.probeReplies()]).toEqual([]);
      for (const node of [a, b]) ipBatch(node.netns, "link set u1 mtu 1500");
    });

    test("they and all other frames show as activity of the neighbour, frames only as traffic of the peer", async () => {
      const peer = () => a.inside(() => a.datapath.counters()).peers.get(b.id);
      let sequence = 50;
      let before = a.datapath.activity(b.id);
      let traffic = peer();
      // Until no frame of the guests' own comes between, as IPv6 sends some after an interface is up.
      await waitFor("a probe that is activity and no traffic", async () => {
        before = a.datapath.activity(b.id);
        traffic = peer();
        probe(sequence++);
        await replies(1);
        const isActivity = a.datapath.activity(b.id).received === before.received + 1;
        return isActivity && peer()?.received.packets === traffic?.received.packets;
      });
      ping(world.guest("a"), world.guest("b").address, "-c", "5", "-i", "0.01", "-W", "1");
      const after = a.datapath.activity(b.id);
      expect(after.received).toBeGreaterThanOrEqual(before.received + 6);
      expect(after.sent).toBeGreaterThanOrEqual(before.sent + 5);
      expect(peer()?.received.packets).toBeGreaterThanOrEqual((traffic?.received.packets ?? 0) + 5);
      expect(peer()?.sent.packets).toBeGreaterThanOrEqual((traffic?.sent.packets ?? 0) + 5);
    });

    test("a neighbour that is not in the plan does not answer, and nothing is sent to it", async () => {
      const plan = b.inside(() => b.datapath.read());
      if (plan === undefined) throw new Error("no plan");
      b.apply({ self: b.id, neighbours: new Map(), nextHops: new Map(), floods: new Map([[b.id, { parent: 0, hops: [] }]]) });
      const before = count(b, "unknown-neighbour");
      using tap = new FrameSocket(netnsPath(a.netns), "u1");
      tap.drain();
      probe(60);
      ping(world.guest("b"), world.guest("a").address, "-c", "2", "-i", "0.01", "-W", "0.1");
      await waitFor("the probe's drop", () => count(b, "unknown-neighbour") > before);
      const isVxlan = (frame: Uint8Array) => Buffer.from(frame).includes(Buffer.from([0x1a, 0x80])); // port 6784
      expect(tap.drain().filter(isVxlan)).toEqual([]);
      expect([...a.datapath.probeReplies()]).toEqual([]);
      b.apply(plan);
    });
  });
}
