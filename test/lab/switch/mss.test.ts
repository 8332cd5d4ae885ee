// SPDX-License-Identifier: Apache-2.0
// The segment size in a SYN that starts here is cut to what the way to the neighbour takes, and nothing else is touched.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrameSocket } from "../../support/frames.ts";
import { waitFor } from "../../support/wait.ts";
import { checksum, ETHERTYPE, ethernet, ipv4, ipv6, PROTOCOL, pseudoHeader, tcp, u16, withChecksum } from "./packets.ts";
import { ping } from "./ping.ts";
import { planOf } from "./plans.ts";
import { transfer } from "./transfer.ts";
import { type Guest, type Node, netnsPath, World } from "./world.ts";

const MTU = 1_300;
const SYN = 0x02;
const ACK = 0x10;
const PORT = 999; // of ours, so that our segments are told from others
const NOP = 1;
const TIMESTAMPS = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
const SACK_PERMITTED = [4, 2];
const mss = (size: number) => [2, 4, ...u16(size)];

for (const bypass of [true, false]) {
  describe(bypass ? "past the bridge" : "over the bridge", () => {
    let world: World;
    let a: Node;
    let from: Guest;
    let to: Guest;
    let sender: FrameSocket;
    let listener: FrameSocket;
    beforeAll(() => {
      world = new World({ cables: [["a", "b"]], tuning: { bypass } });
      a = world.node("a");
      [from, to] = [world.guest("a"), world.guest("b")];
      clampTo(MTU);
      for (const address of [to.address, "fd32::2:1"]) ping(from, address);
      sender = new FrameSocket(netnsPath(from.netns), "ethwe");
      listener = new FrameSocket(netnsPath(to.netns), "ethwe");
    });
    afterAll(() => {
      for (const socket of [sender, listener]) socket?.[Symbol.dispose]();
      world?.[Symbol.dispose]();
    });

    function clampTo(mtuBytes: number): void {
      const plan = planOf(world, a);
      a.apply({ ...plan, neighbours: new Map([...plan.neighbours].map(([id, entry]) => [id, { ...entry, mtuBytes }])) });
    }
    /** The segment as it arrives, whose checksum must be right. */
    async function through(segment: Uint8Array, isIpv6 = false): Promise<Uint8Array> {
      const [source, destination] = isIpv6 ? ["fd32::1:1", "fd32::2:1"] : [from.address, to.address];
      const whole = withChecksum(source, destination, segment);
      const packet = (isIpv6 ? ipv6 : ipv4)(source, destination, PROTOCOL.tcp, whole);
      listener.drain();
      sender.send(ethernet(to.mac, from.mac, isIpv6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4, packet));
      const at = 14 + (isIpv6 ? 40 : 20);
      const { found } = await waitFor("the segment", () =>
        listener.drain().find((frame) => new DataView(frame.buffer).getUint16(at) === PORT),
      );
      const arrived = found.slice(at, at + segment.length);
      expect(checksum(Uint8Array.of(...pseudoHeader(source, destination, PROTOCOL.tcp, segment.length), ...arrived))).toBe(0);
      arrived.set([0, 0], 16);
      return arrived;
    }

    const PLACES: Readonly<Record<string, readonly [before: readonly number[], after: readonly number[]]>> = {
      first: [[], [...SACK_PERMITTED, ...TIMESTAMPS]],
      "behind others": [
        [...SACK_PERMITTED, ...TIMESTAMPS],
        [NOP, 3, 3, 7],
      ],
      "at an odd place": [[NOP], [NOP, ...SACK_PERMITTED]],
      last: [[...TIMESTAMPS, NOP, NOP, ...TIMESTAMPS, NOP, NOP, ...TIMESTAMPS, NOP, NOP], []],
      "behind as much nothing as there can be": [Array<number>(36).fill(NOP), []],
      "behind that at an odd place": [Array<number>(35).fill(NOP), [NOP]],
    };
    for (const isIpv6 of [false, true]) {
      const largest = MTU - (isIpv6 ? 60 : 40);
      for (const [place, [before, after]] of Object.entries(PLACES)) {
        test(`IPv${isIpv6 ? 6 : 4}: cut where the option is ${place}`, async () => {
          const options = (size: number) => [...before, ...mss(size), ...after];
          expect(await through(tcp(PORT, 80, SYN, options(1_460)), isIpv6)).toEqual(tcp(PORT, 80, SYN, options(largest)));
          expect(await through(tcp(PORT, 80, SYN | ACK, options(65_535)), isIpv6)).toEqual(
            tcp(PORT, 80, SYN | ACK, options(largest)),
          );
        });
      }
    }

    const UNTOUCHED = {
      "a smaller size": tcp(PORT, 80, SYN, mss(536)),
      "the same size": tcp(PORT, 80, SYN, mss(MTU - 40)),
      "a segment that begins no connection": tcp(PORT, 80, ACK, mss(1_460)),
      "a SYN without options": tcp(PORT, 80, SYN),
      "what stands behind the end of the options": tcp(PORT, 80, SYN, [0, ...mss(1_460), 0, 0, 0]),
      "what looks like it in the payload": tcp(PORT, 80, SYN, [], Uint8Array.from(mss(1_460))),
      "an option of another length": tcp(PORT, 80, SYN, [2, 3, 5, NOP, NOP, NOP, NOP, NOP]),
      "options that never end": tcp(PORT, 80, SYN, [9, 0, ...mss(1_460)]),
    } as const;
    for (const [what, segment] of Object.entries(UNTOUCHED)) {
      test(`${what} stays as it is`, async () => expect(await through(segment)).toEqual(segment));
    }

    test("nothing is cut where the way has no size", async () => {
      clampTo(0);
      const segment = tcp(PORT, 80, SYN, mss(1_460));
      expect(await through(segment)).toEqual(segment);
      clampTo(MTU);
    });

    test("the kernels' own connections, whose checksums are made late, work and keep to it", async () => {
      listener.drain();
      expect(await transfer(from, to, to.address, 200_000, 5_000)).toMatchObject({ isIntact: true });
      const syns = listener.drain().filter((frame) => frame[12] === 8 && frame[23] === PROTOCOL.tcp && frame[47] === SYN);
      expect(syns.map((frame) => new DataView(frame.buffer).getUint16(56))).toEqual([MTU - 40]);
      expect(await transfer(from, to, "fd32::2:1", 200_000, 5_000)).toMatchObject({ isIntact: true });
    });
  });
}
