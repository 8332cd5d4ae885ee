// SPDX-License-Identifier: Apache-2.0
// With a password no clear frame leaves a host, in any state; trusted subnets allow it, and only inside them.
//
//   h1 [c1] ──seg0── h2 [c2] ──seg1── h3 [c3]     every frame on both segments is looked at
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import { FrameSocket } from "../support/frames.ts";
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { wire } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";
import { attachEverywhere, launch, statusOf } from "../support/weave.ts";

const SECRET = "xyzzy-not-for-the-wire";
const DATA_PORT = 6_784;
let lab: Lab;
let hosts: [Host, Host, Host];

beforeEach(async () => {
  const wired = await wire("chain", 3);
  lab = wired.lab;
  hosts = wired.hosts as [Host, Host, Host];
});
afterEach(async () => await lab?.close());

/** Everything that crosses a segment, in both directions. */
function wiretap(segment: number, host: Host): FrameSocket {
  const { netns, device } = lab.segment(segment).tap(host);
  return new FrameSocket(netns, device, "both");
}

/** Is it UDP from or to the data port? IPv4 and IPv6 without options. */
function isData(frame: Uint8Array): boolean {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const type = frame.byteLength > 14 ? view.getUint16(12) : 0;
  const [protocolAt, portsAt] = type === 0x0800 ? [23, 34] : type === 0x86dd ? [20, 54] : [0, 0];
  if (protocolAt === 0 || frame.byteLength < portsAt + 4 || frame[protocolAt] !== 17) return false;
  return view.getUint16(portsAt) === DATA_PORT || view.getUint16(portsAt + 2) === DATA_PORT;
}

function carries(frame: Uint8Array, text: string): boolean {
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength).includes(text);
}

/** Everything a container can send: known and unknown, one and all. */
async function chatter(containers: readonly Container[]): Promise<void> {
  using ledger = await Ledger.over(containers);
  await ledger.groupFrames(5, 100);
  await ledger.unicastFrames(5, 100);
  for (const container of containers) {
    for (const last of [1, 2, 3]) {
      // -p fills the packet with our text, 16 bytes of it.
      const pattern = Buffer.from(SECRET).subarray(0, 16).toString("hex");
      await container.run(["ping", "-q", "-c2", "-i0.05", "-W0.2", "-p", pattern, `10.2.1.${last}`]);
    }
  }
}

async function launchChain(...flags: readonly string[]): Promise<void> {
  const [h1, h2, h3] = hosts;
  await launch(h1, ...flags);
  await launch(h2, ...flags, lab.segment(0).address(h1));
  await launch(h3, ...flags, lab.segment(1).address(h2));
}

describe("a password without trusted subnets", () => {
  test("encrypts every frame of the containers, and 'status connections' says so", async () => {
    const [h1, h2] = hosts;
    using first = wiretap(0, h1);
    using second = wiretap(1, h2);
    await launchChain("--password", "horse");
    const containers = await attachEverywhere(hosts);
    const [c1] = containers;
    expect(await c1?.reaches("10.2.1.3")).toBe(true);
    await chatter(containers);
    // Through a restart with and without notice.
    await h2.mustWeave("stop");
    await chatter(containers);
    await launch(h2, "--password", "horse", "--resume");
    await chatter(containers);
    await h2.killDaemon();
    await launch(h2, "--password", "horse", "--resume");
    expect(await c1?.reaches("10.2.1.3")).toBe(true);
    await chatter(containers);
    const frames = [...first.drain(), ...second.drain()];
    expect(frames.length).toBeGreaterThan(20);
    expect(frames.filter(isData)).toEqual([]);
    expect(frames.filter((frame) => carries(frame, SECRET.slice(0, 16)))).toEqual([]);
    for (const host of hosts) {
      const established = (await statusOf(host)).router.connections.filter(({ state }) => state === "established");
      expect(established.length).toBeGreaterThan(0);
      expect(established.every(({ encrypted }) => encrypted)).toBe(true);
      expect(await host.mustWeave("status", "connections")).toMatch(/established encrypted/);
    }
  });

  test("and clear frames from outside, also with a neighbour's address, reach no container", async () => {
    const [h1, h2] = hosts;
    await launchChain("--password", "horse");
    const [c1, c2] = (await attachEverywhere(hosts)) as [Container, Container, Container];
    expect(await c1.reaches("10.2.1.2")).toBe(true);
    using ledger = await Ledger.over([c1, c2]);
    const [first, second] = [(await statusOf(h1)).router.shortId, (await statusOf(h2)).router.shortId];
    const source = Buffer.from((await c1.mac()).replaceAll(":", ""), "hex");
    const frame = Buffer.concat([
      Buffer.alloc(6, 0xff),
      source,
      Buffer.from("88b5574c50460000000100000001", "hex"),
      Buffer.alloc(30),
    ]);
    const vni = Buffer.alloc(4);
    vni.writeUInt32BE((first | (0xfff << 12)) * 256);
    const vxlan = Buffer.concat([Buffer.from("08000000", "hex"), vni, frame]);
    const sleeve = Buffer.concat([Buffer.alloc(12), Buffer.from([0, 64, 0xff, 0xf0, first, 0, frame.length]), frame]);
    for (const [port, bytes] of [
      [DATA_PORT, vxlan],
      [6_783, sleeve],
    ] as const) {
      const send = `printf '${[...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")}' | socat -u - UDP4-SENDTO:10.200.1.2:${port}`;
      for (let i = 0; i < 3; i++) await h1.must(["sh", "-c", send]);
    }
    expect(await ledger.groupFrames(3)).toEqual([]); // each of its own exactly once, and nothing else
    expect(second).toBeGreaterThan(0);
  });

  test("shows the control traffic to nobody either", async () => {
    const [h1, h2] = hosts;
    using tap = wiretap(0, h1);
    await launch(h1, "--password", "horse", "--nickname", SECRET);
    await launch(h2, "--password", "horse", lab.segment(0).address(h1));
    await waitFor("h2 to know h1's nickname", async () => JSON.stringify((await statusOf(h2)).router.peers).includes(SECRET));
    const frames = tap.drain();
    expect(frames.length).toBeGreaterThan(5);
    expect(frames.filter((frame) => carries(frame, SECRET))).toEqual([]);
    expect(frames.filter((frame) => carries(frame, "horse"))).toEqual([]);
  });
});

describe("a password with trusted subnets", () => {
  test("sends clear where both ends trust the network, and encrypts elsewhere", async () => {
    const [h1, h2] = hosts;
    using second = wiretap(1, h2);
    await launchChain("--password", "horse", "--trusted-subnets", "10.200.1.0/24");
    const [c1, c2, c3] = (await attachEverywhere(hosts)) as [Container, Container, Container];
    expect(await c1.reaches("10.2.1.2")).toBe(true);
    expect(await c1.reaches("10.2.1.3")).toBe(true); // clear to h2, encrypted from there
    await chatter([c1, c2, c3]);
    const frames = second.drain();
    expect(frames.filter(isData)).toEqual([]);
    expect(frames.filter((frame) => carries(frame, SECRET.slice(0, 16)))).toEqual([]);
    const established = (await statusOf(h1)).router.connections.filter(({ state }) => state === "established");
    expect(established.map(({ overlay, encrypted }) => `${overlay} ${encrypted}`)).toEqual(["fastdp false"]);
    expect(await h2.mustWeave("status", "connections")).toMatch(/unencrypted/);
  });

  test("is not enough when only one end trusts it", async () => {
    const [h1, h2] = hosts;
    using tap = wiretap(0, h1);
    await launch(h1, "--password", "horse", "--trusted-subnets", "10.200.1.0/24");
    await launch(h2, "--password", "horse", lab.segment(0).address(h1));
    await waitFor("the control connection", async () => (await statusOf(h1)).router.connections.length > 0);
    await chatter(await attachEverywhere([h1, h2]));
    expect(tap.drain().filter(isData)).toEqual([]);
  });
});

test("data does not leave through a clear path that existed before the password", async () => {
  const [h1, h2] = hosts;
  const target = lab.segment(0).address(h1);
  await launch(h1);
  await launch(h2, target);
  const [c1] = (await attachEverywhere([h1, h2])) as [Container, Container];
  expect(await c1.reaches("10.2.1.2")).toBe(true);
  for (const host of [h1, h2]) await host.mustWeave("stop");
  await launch(h1, "--password", "horse");
  await launch(h2, "--password", "horse", target);
  await waitFor("the control connection", async () => (await statusOf(h1)).router.connections.length > 0);
  using tap = wiretap(0, h1);
  expect(await c1.reaches("10.2.1.2")).toBe(true);
  await c1.run(["ping", "-q", "-c5", "-i0.05", "-W0.2", "10.2.1.2"]);
  expect(tap.drain().filter(isData)).toEqual([]);
});
