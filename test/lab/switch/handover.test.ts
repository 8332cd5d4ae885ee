// SPDX-License-Identifier: Apache-2.0
// What the switch hands over at the capture end of the sleeve link, byte for byte, and what it does with what is put in there: whole
// super-packets, tags, and the checks that frames from VXLAN undergo too.
//
//   b ──sleeve── a ──clear── c        no sleeve runs; the test is at both ends of its link at a
//   d ──sleeve──┘
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DropReason } from "../../../native/bpf/maps.ts";
import { CaptureEnd, UnfinishedSender } from "../../support/capture-end.ts";
import { FrameSocket } from "../../support/frames.ts";
import { encodeUnfinished, VNET_HEADER_BYTES } from "../../support/injection.ts";
import { waitFor } from "../../support/wait.ts";
import { pathOver } from "./mixed.ts";
import { bytes, ETHERTYPE, ethernet, ipv4, ipv6, PROTOCOL, tcp, u32, udp, vlan, vxlan } from "./packets.ts";
import { addressOn } from "./plans.ts";
import { count, expectCount, Wire } from "./wire.ts";
import { type Guest, ipBatch, type Node, netnsPath, World } from "./world.ts";

const FLOOD = 0xfff;
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const STRANGER = "02:00:00:00:99:01";
const ACK = 0x10;
const SEGMENT_BYTES = 1_200;
const PAYLOAD = Uint8Array.from({ length: 40_000 }, (_, i) => i * 7);
const EXPERIMENT = bytes(u32(0x57454156), PAYLOAD.subarray(0, 200));

let world: World;
let a: Node;
let b: Node;
let c: Node;
let d: Node;
let capture: CaptureEnd; // at a
let guest: Guest; // of a
let far: Guest; // of b
beforeAll(() => {
  world = new World({
    cables: [
      ["a", "b"],
      ["a", "c"],
      ["a", "d"],
    ],
    sleeves: true,
    unguarded: true,
    pathOf: (cable, neighbour) => pathOver(cable === world?.cable("a", "c") ? "fastdp" : "sleeve", cable, neighbour),
  });
  [a, b, c, d] = ["a", "b", "c", "d"].map((name) => world.node(name)) as [Node, Node, Node, Node];
  world.applyPlans(); // now that the world knows its cables
  capture = new CaptureEnd(netnsPath(a.netns));
  [guest, far] = [world.guest("a"), world.guest("b")];
  teach();
});
afterAll(() => {
  capture?.[Symbol.dispose]();
  world?.[Symbol.dispose]();
});

function vni(source: Node, destination: Node | typeof FLOOD): number {
  return source.id | ((destination === FLOOD ? FLOOD : destination.id) << 12);
}
/** a knows where its own guest and the far one are. */
function teach(): void {
  using speaker = new FrameSocket(netnsPath(guest.netns), "ethwe");
  speaker.send(ethernet(BROADCAST, guest.mac, ETHERTYPE.experiment, EXPERIMENT));
  capture.inject({ neighbour: b.id, vni: vni(b, a) }, ethernet(guest.mac, far.mac, ETHERTYPE.experiment, EXPERIMENT));
}
function experiment(destination: string, source: string, ...tags: readonly number[]): Uint8Array<ArrayBuffer> {
  const ethertype = tags.length === 0 ? ETHERTYPE.experiment : ETHERTYPE.vlan;
  const tagged = tags.reduceRight(
    (inner, tag, i) => vlan(tag, i === tags.length - 1 ? ETHERTYPE.experiment : ETHERTYPE.vlan, inner),
    EXPERIMENT,
  );
  return Uint8Array.from(ethernet(destination, source, ethertype, tagged));
}

type Family = 4 | 6;
const SUPER_PACKETS: readonly (readonly [what: string, family: Family, segment: Uint8Array])[] = [
  ["TCP over IPv4", 4, tcp(999, 80, ACK, [], PAYLOAD)],
  ["TCP over IPv6", 6, tcp(999, 80, ACK, [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], PAYLOAD)],
  ["UDP over IPv4", 4, udp(999, 80, PAYLOAD)],
  ["UDP over IPv6", 6, udp(999, 80, PAYLOAD)],
];
function superPacket(family: Family, segment: Uint8Array, from: Guest, to: Guest, tag?: number): Uint8Array {
  const protocol = segment.length - PAYLOAD.length === 8 ? PROTOCOL.udp : PROTOCOL.tcp;
  const address6 = (of: Guest) => `fd32::${of.host.id}:1`;
  const packet =
    family === 4 ? ipv4(from.address, to.address, protocol, segment) : ipv6(address6(from), address6(to), protocol, segment);
  const ethertype = family === 4 ? ETHERTYPE.ipv4 : ETHERTYPE.ipv6;
  return tag === undefined
    ? ethernet(to.mac, from.mac, ethertype, packet)
    : ethernet(to.mac, from.mac, ETHERTYPE.vlan, vlan(tag, ethertype, packet));
}
/** With its checksum begun, as the kernel passes it around. */
function begun(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(encodeUnfinished(frame).subarray(VNET_HEADER_BYTES));
}

describe("the switch hands over", () => {
  /** What `send` leads to, but for what guests say by themselves. */
  async function handedOver(send: () => void, wanted = 1) {
    capture.drain();
    send();
    const found: ReturnType<CaptureEnd["drain"]> = [];
    const isOurs = (frame: Uint8Array) => Buffer.from(frame).includes(Buffer.from(PAYLOAD.subarray(0, 200)));
    await waitFor("what is handed over", () => {
      found.push(...capture.drain().filter(({ frame }) => isOurs(frame)));
      return found.length >= wanted;
    });
    return found.map((one) => ({ ...one, frame: Uint8Array.from(one.frame) }));
  }
  function fromGuest(frame: Uint8Array): void {
    using speaker = new FrameSocket(netnsPath(guest.netns), "ethwe");
    speaker.send(frame);
  }

  test("a frame for a known MAC, with its way and neighbour", async () => {
    const frame = experiment(far.mac, guest.mac);
    expect(await handedOver(() => fromGuest(frame))).toEqual([{ ttl: 64, vni: vni(a, b), gsoSize: 0, neighbour: b.id, frame }]);
  });

  test("a group frame once for each of its neighbours", async () => {
    const frame = experiment(BROADCAST, guest.mac);
    const found = await handedOver(() => fromGuest(frame), 2);
    const both = [b, d].map((node) => ({ ttl: 64, vni: vni(a, FLOOD), gsoSize: 0, neighbour: node.id, frame }));
    expect(found.sort((x, y) => x.neighbour - y.neighbour)).toEqual(both);
  });

  test("what others send through here, with less time to live", async () => {
    const frame = experiment(far.mac, STRANGER);
    using wire = new Wire(c, addressOn(world.cable("a", "c"), a), { ttl: 9 });
    const relayed = { ttl: 8, vni: vni(c, b), gsoSize: 0, neighbour: b.id, frame };
    expect(await handedOver(() => wire.send(vxlan(c.id, b.id, frame)))).toEqual([relayed]);
    const back = () => capture.inject({ neighbour: d.id, vni: vni(d, b), ttl: 5 }, frame);
    expect(await handedOver(back)).toEqual([{ ...relayed, ttl: 4, vni: vni(d, b) }]);
  });

  for (const [what, family, segment] of SUPER_PACKETS) {
    for (const tag of [undefined, 5]) {
      test(`a super-packet of ${what} whole, with the size of its segments${tag ? " and its tag" : ""}`, async () => {
        using sender = new UnfinishedSender(netnsPath(guest.netns), "ethwe");
        const frame = superPacket(family, segment, guest, far, tag);
        const found = await handedOver(() => sender.send(frame, { gsoSize: SEGMENT_BYTES }));
        expect(found).toEqual([{ ttl: 64, vni: vni(a, b), gsoSize: SEGMENT_BYTES, neighbour: b.id, frame: begun(frame) }]);
      });
    }
  }

  for (const tags of [[5], [5, 6]]) {
    test(`a frame with ${tags.length} VLAN tags as it is, also when it came by the sleeve`, async () => {
      const frame = experiment(far.mac, guest.mac, ...tags);
      const handed = { ttl: 64, vni: vni(a, b), gsoSize: 0, neighbour: b.id, frame };
      expect(await handedOver(() => fromGuest(frame))).toEqual([handed]);
      const relayed = () => capture.inject({ neighbour: d.id, vni: vni(d, b), ttl: 5 }, frame);
      expect(await handedOver(relayed)).toEqual([{ ...handed, ttl: 4, vni: vni(d, b) }]);
    });
  }
});

for (const bypass of [true, false]) {
  describe(`what the sleeve puts in arrives ${bypass ? "past" : "over"} the bridge`, () => {
    beforeAll(() => {
      a.open({ bypass });
      teach();
    });

    for (const [what, family, segment] of SUPER_PACKETS) {
      test(`a super-packet of ${what}, whole`, async () => {
        const frame = superPacket(family, segment, far, guest);
        const whole = Buffer.from(begun(frame));
        using listener = new FrameSocket(netnsPath(guest.netns), "ethwe");
        expect(capture.inject({ neighbour: b.id, vni: vni(b, a) }, frame, { gsoSize: SEGMENT_BYTES })).toBe(true);
        await waitFor("the super-packet", () => listener.drain().some((arrived) => whole.equals(arrived)));
      });
    }

    test("a group frame, once, and it goes on along the tree over VXLAN and by the sleeve", async () => {
      using listener = new FrameSocket(netnsPath(guest.netns), "ethwe");
      using clear = new FrameSocket(netnsPath(world.guest("c").netns), "ethwe");
      capture.drain();
      const frame = experiment(BROADCAST, far.mac);
      capture.inject({ neighbour: b.id, vni: vni(b, FLOOD), ttl: 7 }, frame);
      const copies = { here: 0, clear: 0, sleeve: 0 };
      const isOurs = (arrived: Uint8Array) => Buffer.from(frame).equals(arrived);
      await waitFor("all copies", () => {
        copies.here += listener.drain().filter(isOurs).length;
        copies.clear += clear.drain().filter(isOurs).length;
        copies.sleeve += capture
          .drain()
          .filter(({ neighbour, ttl, frame }) => neighbour === d.id && ttl === 6 && isOurs(frame)).length;
        return copies.here > 0 && copies.clear > 0 && copies.sleeve > 0;
      });
      expect(copies).toEqual({ here: 1, clear: 1, sleeve: 1 });
    });

    test("a frame with tags, behind which the container finds what was sent", async () => {
      using listener = new FrameSocket(netnsPath(guest.netns), "ethwe");
      const frame = experiment(guest.mac, far.mac, 5, 6);
      capture.inject({ neighbour: b.id, vni: vni(b, a) }, frame);
      // A packet socket is told of the first tag beside the frame.
      const expected = Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]);
      await waitFor("the frame", () => listener.drain().some((arrived) => expected.equals(arrived)));
    });
  });
}

test("a third tag is one too many for the sleeve: vlan-stack", async () => {
  using speaker = new FrameSocket(netnsPath(guest.netns), "ethwe");
  await expectCount(a, "vlan-stack", () => speaker.send(experiment(far.mac, guest.mac, 5, 6, 7)));
});

describe("a frame that the sleeve puts in is dropped", () => {
  const plain = () => experiment(guest.mac, STRANGER);
  const CASES: readonly (readonly [DropReason, string, () => Parameters<CaptureEnd["inject"]>])[] = [
    ["unknown-neighbour", "from who is no neighbour", () => [{ neighbour: 77, vni: vni(b, a) }, plain()]],
    ["unknown-peer", "of a peer without route", () => [{ neighbour: b.id, vni: 77 | (a.id << 12) }, plain()]],
    ["own-source", "with ourselves as source", () => [{ neighbour: b.id, vni: vni(a, FLOOD) }, plain()]],
    ["no-route", "for a peer without route", () => [{ neighbour: b.id, vni: b.id | (88 << 12) }, plain()]],
    ["ttl", "when it would have to go on with nothing left", () => [{ neighbour: b.id, vni: vni(b, c), ttl: 1 }, plain()]],
    ["reverse-path", "along a tree whose parent is another", () => [{ neighbour: d.id, vni: vni(b, FLOOD) }, plain()]],
    ["return-path", "when its way leads back", () => [{ neighbour: b.id, vni: vni(c, b) }, plain()]],
    [
      "malformed",
      "with a group as source",
      () => [{ neighbour: b.id, vni: vni(b, a) }, experiment(guest.mac, "03:00:00:00:00:01")],
    ],
    [
      "probe-forged",
      "as a probe of somebody further away",
      () => [
        { neighbour: b.id, vni: vni(d, a) },
        ethernet("02:77:76:70:00:01", STRANGER, ETHERTYPE.experiment, bytes(u32(0), u32(1))),
      ],
    ],
  ];
  for (const [reason, what, injected] of CASES) {
    test(`${what}: ${reason}`, async () => await expectCount(a, reason, () => capture.inject(...injected())));
  }

  test("without the tag that says whom it is from: sleeve-stranger", async () => {
    using sender = new UnfinishedSender(netnsPath(a.netns), "vethwe-pcap");
    await expectCount(a, "sleeve-stranger", () => sender.send(plain()));
  });
});

test("a host without a sleeve link sends nothing that way, and says so", async () => {
  const plan = a.inside(() => a.datapath.read());
  a.open({}, { sleeveIfindex: undefined });
  using speaker = new FrameSocket(netnsPath(guest.netns), "ethwe");
  capture.drain();
  await expectCount(a, "no-route", () => speaker.send(experiment(far.mac, guest.mac)));
  expect(capture.drain()).toEqual([]);
  a.open();
  expect(plan && a.apply(plan)).toBe(0);
});

test("a sleeve link that was made anew is used at once, and its old programs go", async () => {
  const before = a.ifindex("vethwe-sleeve");
  ipBatch(a.netns, "link del vethwe-sleeve", "link add vethwe-sleeve mtu 65535 type veth peer name vethwe-pcap mtu 65535");
  ipBatch(a.netns, "link set vethwe-sleeve up", "link set vethwe-pcap up");
  a.open();
  expect(a.ifindex("vethwe-sleeve")).not.toBe(before);
  expect(a.inside(() => a.datapath.ensureAttached())).toEqual([]);
  using anew = new CaptureEnd(netnsPath(a.netns));
  using speaker = new FrameSocket(netnsPath(guest.netns), "ethwe");
  speaker.send(experiment(far.mac, guest.mac));
  await waitFor("the frame", () => anew.drain().some(({ neighbour }) => neighbour === b.id));
  expect(count(a, "not-configured")).toBe(0);
});
