// SPDX-License-Identifier: Apache-2.0
// Announcements as they arrive at the other end of a veth, captured with libpcap.
import { describe, expect, test } from "bun:test";
import { SystemError } from "../../../native/errno.ts";
import { Capture, type CapturedFrame } from "../../../native/libpcap/capture.ts";
import { announce } from "../../../src/host/announce.ts";
import { inNetns } from "../../../src/host/netns.ts";
import { decodeArpFrame, gratuitousArp } from "../../../src/net/arp.ts";
import { decodeNeighbourAdvertisement, unsolicitedAdvertisement } from "../../../src/net/icmpv6.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { waitFor } from "../../support/wait.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

const ip = (text: string): Ip => parseIp(text) as Ip; // only constants are given
const MAC = testMac(2);

class Pair implements Disposable {
  readonly host = ScratchNetns.make();
  readonly guest = ScratchNetns.make();
  constructor() {
    this.host.links.createVeth(
      { name: "vethwepl1", mac: testMac(1), up: true },
      { name: "ethwe", mac: MAC, netns: this.guest.netns },
    );
    // Only what the test sends is to be seen.
    this.host.links.setAddressless(this.host.links.get("vethwepl1")?.index ?? 0);
    const guest = this.guest.links.get("ethwe")?.index ?? 0;
    this.guest.links.setAddressless(guest);
    this.guest.links.change(guest, { up: true });
  }
  capture(filter: string): Capture {
    return inNetns(this.host.netns, () => Capture.open("vethwepl1", { filter, direction: "in" }));
  }
  [Symbol.dispose](): void {
    this.host[Symbol.dispose]();
    this.guest[Symbol.dispose]();
  }
}

async function take(capture: Capture, count: number): Promise<CapturedFrame[]> {
  const frames: CapturedFrame[] = [];
  await waitFor(`${count} frames`, () => {
    for (let frame = capture.next(); frame !== undefined; frame = capture.next()) frames.push(frame);
    return frames.length >= count;
  });
  return frames;
}

describe.skipIf(!isRoot)("announcing (needs root)", () => {
  test("an IPv4 address reaches the other end as request and reply, byte for byte", async () => {
    using pair = new Pair();
    using capture = pair.capture("arp");
    announce("ethwe", MAC, [ip("10.32.0.1")], pair.guest.netns);
    const frames = await take(capture, 2);
    expect(frames.map(({ bytes }) => bytes)).toEqual([...gratuitousArp(MAC, ip("10.32.0.1"))]);
    expect(frames.map(({ bytes }) => decodeArpFrame(bytes)?.operation)).toEqual(["request", "reply"]);
  });

  test("an IPv6 address reaches it as an advertisement a receiver may take", async () => {
    using pair = new Pair();
    using capture = pair.capture("icmp6 and ip6[40] == 136");
    announce("ethwe", MAC, [ip("fd00::5")], pair.guest.netns);
    const [frame] = await take(capture, 1);
    expect(frame?.bytes).toEqual(unsolicitedAdvertisement(MAC, ip("fd00::5")));
    expect(frame && decodeNeighbourAdvertisement(frame.bytes)).toMatchObject({
      target: ip("fd00::5"),
      targetMac: MAC,
      override: true,
    });
  });

  test("the kernel at the other end believes both", async () => {
    using pair = new Pair();
    const index = pair.host.links.get("vethwepl1")?.index ?? 0;
    for (const text of ["10.32.0.9/24", "fd00::9/64"]) pair.host.run("ip", "addr", "add", text, "dev", "vethwepl1", "nodad");
    for (const text of ["10.32.0.1", "fd00::5"]) {
      pair.host.run("ip", "neigh", "add", text, "lladdr", "02:00:00:00:00:77", "nud", "stale", "dev", "vethwepl1");
    }
    announce("ethwe", MAC, [ip("10.32.0.1"), ip("fd00::5")], pair.guest.netns);
    const neighbours = () => pair.host.run("ip", "neigh", "show", "dev", "vethwepl1");
    await waitFor("both entries changed", () => neighbours().match(/02:00:00:00:00:02/g)?.length === 2, { show: neighbours });
    expect(index).toBeGreaterThan(0);
  });

  test("an interface that is missing or down is an error with its name", () => {
    using pair = new Pair();
    expect(() => announce("nothing", MAC, [ip("10.32.0.1")], pair.guest.netns)).toThrow(SystemError);
    expect(() => announce("nothing", MAC, [ip("10.32.0.1")], pair.guest.netns)).toThrow(/nothing: ENODEV/);
    pair.guest.links.change(pair.guest.links.get("ethwe")?.index ?? 0, { up: false });
    expect(() => announce("ethwe", MAC, [ip("10.32.0.1")], pair.guest.netns)).toThrow(/ethwe: ENETDOWN/);
  });
});

describe.skipIf(!isRoot)("capturing (needs root)", () => {
  test("a frame longer than the snapshot is cut and tells its length", async () => {
    using pair = new Pair();
    using capture = inNetns(pair.host.netns, () => Capture.open("vethwepl1", { snapBytes: 20, filter: "arp", direction: "in" }));
    announce("ethwe", MAC, [ip("10.32.0.1")], pair.guest.netns);
    const [frame] = await take(capture, 1);
    expect([frame?.bytes.length, frame?.length]).toEqual([20, 42]);
    expect(capture.stats().received).toBeGreaterThan(0);
  });

  test("direction 'in' leaves out what this host sends", async () => {
    using pair = new Pair();
    using capture = pair.capture("arp");
    announce("vethwepl1", testMac(1), [ip("10.32.0.9")], pair.host.netns);
    announce("ethwe", MAC, [ip("10.32.0.1")], pair.guest.netns);
    const frames = await take(capture, 2);
    expect(frames.map(({ bytes }) => decodeArpFrame(bytes)?.senderMac)).toEqual([MAC, MAC]);
  });

  test("a filter that does not parse is refused in libpcap's words", () => {
    using pair = new Pair();
    expect(() => pair.capture("bogus words")).toThrow(/pcap_compile vethwepl1: .*syntax error/);
  });

  test("a closed capture is not used, and closing twice is harmless", () => {
    using pair = new Pair();
    const capture = pair.capture("");
    capture[Symbol.dispose]();
    capture[Symbol.dispose]();
    expect(() => capture.next()).toThrow(TypeError);
  });
});
