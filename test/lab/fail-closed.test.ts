// SPDX-License-Identifier: Apache-2.0
// With a password and no encrypted transport no clear frame leaves a host; trusted subnets allow it, and only inside them.
//
//   h1 [c1] ──seg0── h2 [c2] ──seg1── h3 [c3]     every frame on both segments is looked at
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Ledger } from "../support/delivery.ts";
import { FrameSocket } from "../support/frames.ts";
import { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { attachEverywhere, launch, statusOf } from "../support/weave.ts";

const SECRET = "xyzzy-not-for-the-wire";
const DATA_PORT = 6_784;
let lab: Lab;
let hosts: [Host, Host, Host];

beforeEach(async () => {
  const segments = [
    ["h1", "h2"],
    ["h2", "h3"],
  ];
  lab = await Lab.with({ hosts: ["h1", "h2", "h3"], segments });
  hosts = [lab.host("h1"), lab.host("h2"), lab.host("h3")];
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
  test("lets no frame of a container onto the wire, and 'status connections' says why", async () => {
    const [h1, h2] = hosts;
    using first = wiretap(0, h1);
    using second = wiretap(1, h2);
    await launchChain("--password", "horse");
    await waitFor("control connections", async () => (await statusOf(h2)).router.connections.length >= 2);
    const containers = await attachEverywhere(hosts);
    await chatter(containers);
    const frames = [...first.drain(), ...second.drain()];
    expect(frames.length).toBeGreaterThan(20);
    expect(frames.filter(isData)).toEqual([]);
    expect(frames.filter((frame) => carries(frame, SECRET.slice(0, 16)))).toEqual([]);
    for (const host of hosts) {
      expect(await host.mustWeave("status", "connections")).toMatch(/encrypt/i);
      // Health warnings come first.
      expect((await statusOf(host)).router.connections.every(({ reason }) => reason !== "")).toBe(true);
    }
    const [c1] = containers;
    expect(await c1?.reaches("10.2.1.2", 0)).toBe(false);
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
  test("lets data through where both ends trust the network, and not elsewhere", async () => {
    const [h1, h2] = hosts;
    using second = wiretap(1, h2);
    await launchChain("--password", "horse", "--trusted-subnets", "10.200.1.0/24");
    const [c1, c2, c3] = (await attachEverywhere(hosts)) as [Container, Container, Container];
    expect(await c1.reaches("10.2.1.2")).toBe(true);
    await chatter([c1, c2, c3]);
    expect(second.drain().filter(isData)).toEqual([]);
    expect(await c1.reaches("10.2.1.3", 0)).toBe(false);
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
  await waitFor("the clear path to be closed", async () => !(await c1.reaches("10.2.1.2", 0)));
  using tap = wiretap(0, h1);
  await c1.run(["ping", "-q", "-c5", "-i0.05", "-W0.2", "10.2.1.2"]);
  expect(tap.drain().filter(isData)).toEqual([]);
});
