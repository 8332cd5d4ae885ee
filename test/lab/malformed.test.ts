// SPDX-License-Identifier: Apache-2.0
// Bytes nobody should send, from a machine that is no peer: at most that one connection suffers, memory stays bounded, the daemon and
// the traffic of others go on. Every kind of nonsense on TCP 6783 and UDP 6784.
//
//   h1 [c1] ── h2 [c2]      evil: a third machine on the segment, without weave
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Container, Host } from "../support/lab-host.ts";
import { inNetns } from "../support/libc.ts";
import { type Mesh, mesh } from "../support/shapes.ts";
import { PingRun } from "../support/traffic.ts";
import { UdpSocket } from "../support/udp.ts";
import { waitFor } from "../support/wait.ts";
import { metric, neighboursOf, statusOf } from "../support/weave.ts";

const CONTROL_PORT = 6_783;
const DATA_PORT = 6_784;

let world: Mesh;
let h1: Host;
let evil: Host;
let pid: number;
let ping: PingRun;

beforeAll(async () => {
  world = await mesh("full", 2);
  [h1] = world.hosts as [Host];
  [evil] = (await world.lab.addHosts("evil")) as [Host];
  await world.lab.segment(0).plugIn(evil, 66);
  pid = h1.daemonPid() ?? 0;
  const [c1] = world.containers as [Container];
  ping = await PingRun.start(c1, "10.2.1.2");
});
afterAll(async () => await world?.lab.close());

/** Resident memory of h1's daemon in bytes. */
function residentBytes(): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1_024;
}

/** Random bytes that are the same in every run. */
function noise(seed: number, length: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

interface Attempt {
  readonly socket: Bun.Socket<undefined>;
  readonly closed: () => boolean;
  readonly received: () => number;
}

async function dial(): Promise<Attempt> {
  let closed = false;
  let received = 0;
  const connecting = inNetns(evil.netns, () =>
    Bun.connect({
      hostname: h1.address,
      port: CONTROL_PORT,
      socket: {
        data: (_, chunk) => {
          received += chunk.byteLength;
        },
        close: () => {
          closed = true;
        },
        error: () => {
          closed = true;
        },
      },
    }),
  );
  return { socket: await connecting, closed: () => closed, received: () => received };
}

/** The daemon is the same process, its neighbour still there. */
async function unharmed(): Promise<void> {
  expect(h1.daemonPid()).toBe(pid);
  expect(neighboursOf(await statusOf(h1))).toEqual(["h2"]);
}

describe("on TCP 6783", () => {
  const OPENINGS: readonly (readonly [what: string, bytes: Uint8Array])[] = [
    ["nothing but zeroes", new Uint8Array(64)],
    ["a length of 4 GB", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3)],
    ["a length of 16 MB", Uint8Array.of(0x00, 0xff, 0xff, 0xff, 1, 2, 3)],
    ["an HTTP request", new TextEncoder().encode("GET / HTTP/1.1\r\nHost: weave\r\n\r\n")],
    ["a TLS hello", Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3)],
    ["the old protocol's greeting", new TextEncoder().encode("weave\x01\x02")],
    ["a megabyte of noise", noise(7, 1 << 20)],
  ];
  for (const [what, bytes] of OPENINGS) {
    test(`${what}: the connection is closed, nothing else happens`, async () => {
      const attempt = await dial();
      attempt.socket.write(bytes);
      await waitFor("the connection to be closed", attempt.closed, { deadlineMs: 15_000 });
      await unharmed();
    });
  }

  test("a thousand openings of noise", async () => {
    for (let batch = 0; batch < 50; batch++) {
      // Who comes too often is turned away at the door; that is an answer too.
      const dialled = await Promise.allSettled(Array.from({ length: 20 }, dial));
      const attempts = dialled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      for (const [index, attempt] of attempts.entries()) {
        const seed = batch * 20 + index;
        attempt.socket.write(noise(seed * 2 + 1, 1 + ((seed * 37) % 400)));
        attempt.socket.end();
      }
      await Promise.all(attempts.map((attempt) => waitFor("an end", attempt.closed, { deadlineMs: 15_000 })));
    }
    await unharmed();
  }, 60_000);

  test("every prefix of what a true peer sends, cut off or followed by noise", async () => {
    // A true opening: what h1 itself says first, sent back to it.
    const opening = await firstWords();
    for (let length = 1; length <= opening.byteLength; length += Math.max(1, opening.byteLength >> 6)) {
      const attempt = await dial();
      attempt.socket.write(opening.subarray(0, length));
      if (length % 2 === 0) attempt.socket.write(noise(length, 200));
      attempt.socket.end();
      await waitFor("an end", attempt.closed, { deadlineMs: 15_000 });
    }
    await unharmed();
  }, 60_000);

  test("300 slow connections that say a byte at a time do not keep a peer out, and are closed in the end", async () => {
    const before = residentBytes();
    const attempts: Attempt[] = [];
    for (let batch = 0; batch < 10; batch++) {
      const dialled = await Promise.allSettled(Array.from({ length: 30 }, dial));
      attempts.push(...dialled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])));
    }
    expect(attempts.length).toBeGreaterThan(50);
    const drip = setInterval(() => {
      for (const { socket, closed } of attempts) if (!closed()) socket.write(Uint8Array.of(0));
    }, 500);
    try {
      await h1.mustWeave("status");
      const h2 = world.hosts[1] as Host;
      await h2.mustWeave("stop");
      await h2.mustWeave("launch", h1.address);
      await waitFor("the true peer", async () => neighboursOf(await statusOf(h1)).join() === "h2", { deadlineMs: 15_000 });
      expect(residentBytes() - before).toBeLessThan(64 << 20);
      await waitFor("all slow ones to be closed", () => attempts.every(({ closed }) => closed()), {
        deadlineMs: 30_000,
        everyMs: 100,
      });
    } finally {
      clearInterval(drip);
      for (const { socket } of attempts) socket.terminate();
    }
    await unharmed();
  }, 90_000);
});

/** The bytes h1 sends to a dialler that only listens, or to one that has sent a byte. */
async function firstWords(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const connecting = inNetns(evil.netns, () =>
    Bun.connect({
      hostname: h1.address,
      port: CONTROL_PORT,
      socket: { data: (_, chunk) => void chunks.push(chunk.slice()) },
    }),
  );
  const socket = await connecting;
  await waitFor("first words", () => chunks.length > 0, { deadlineMs: 1_000 }).catch(() => undefined);
  socket.terminate();
  const whole = Buffer.concat(chunks);
  return whole.byteLength > 0 ? whole : noise(99, 256);
}

describe("on UDP 6784", () => {
  test("10,000 datagrams of noise, of all lengths, change nothing", async () => {
    using socket = new UdpSocket(evil, 7_777, 4, "e1");
    const before = (await statusOf(h1)).router.peers.length;
    for (let index = 0; index < 10_000; index++) {
      socket.send(noise(index * 2 + 1, index % 1_400), h1.address, DATA_PORT);
      if (index % 100 === 99) await Bun.sleep(1);
    }
    expect((await statusOf(h1)).router.peers.length).toBe(before);
    await unharmed();
  });

  test("well-formed VXLAN from a stranger reaches no container and is counted", async () => {
    const before = await metric(h1, /^weave_frames_dropped_total/).catch(() => 0);
    using socket = new UdpSocket(evil, 7_778, 4, "e1");
    const [c1] = world.containers as [Container];
    const mac = await c1.mac();
    const marker = "from-a-stranger!";
    const { FrameSocket, macBytes } = await import("../support/frames.ts");
    using listener = new FrameSocket(c1.netns, "ethwe");
    for (let vni = 0; vni < 4_096; vni++) {
      const packet = new Uint8Array(8 + 64);
      const view = new DataView(packet.buffer);
      view.setUint32(0, 0x08 << 24);
      // Every source with every kind of destination: that peer, the flood, each other.
      view.setUint32(4, (((vni % 3 === 0 ? 0xfff : vni) << 12) | ((vni * 7) & 0xfff)) << 8);
      packet.set(vni % 2 === 0 ? macBytes(mac) : macBytes("ff:ff:ff:ff:ff:ff"), 8);
      packet.set(macBytes("02:57:4c:66:66:66"), 14);
      view.setUint16(20, 0x88b5);
      packet.set(new TextEncoder().encode(marker), 22);
      socket.send(packet, h1.address, DATA_PORT);
      if (vni % 200 === 199) await Bun.sleep(1);
    }
    await Bun.sleep(100);
    expect(listener.drain().filter((frame) => Buffer.from(frame).includes(marker))).toEqual([]);
    expect(await metric(h1, /^weave_frames_dropped_total/)).toBeGreaterThan(before + 4_000);
    await unharmed();
  });
});

test("all the while no packet between the containers was lost", async () => {
  expect(await ping.stop()).toMatchObject({ lost: [], duplicates: 0 });
});
