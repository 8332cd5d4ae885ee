// SPDX-License-Identifier: Apache-2.0
// The first password of all comes while the daemons run: from then on data is encrypted as if they had been started with it, by WireGuard
// where the kernel has it (the test runs in the virtual machine too), and what is attached has room for that.
import { afterEach, expect, test } from "bun:test";
import { FrameSocket } from "../support/frames.ts";
import type { Lab } from "../support/lab.ts";
import { type Container, EXECUTABLE, type Host } from "../support/lab-host.ts";
import { mesh } from "../support/shapes.ts";
import { StreamRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { describeHost, statusOf } from "../support/weave.ts";
import { hasWireguard, wireguardOf } from "../support/wireguard.ts";

const SECRET = "xyzzy-not-4-wire"; // 16 bytes, as many as ping repeats
const ROOM = { clear: 1_430, encrypted: 1_350 } as const;
let lab: Lab;
afterEach(async () => await lab?.close());

async function mtuOf(container: Container): Promise<number> {
  const [link] = JSON.parse(await container.must(["ip", "-j", "link", "show", "ethwe"])) as { readonly mtu: number }[];
  return link?.mtu ?? 0;
}
async function waysOf(host: Host): Promise<string> {
  const { connections } = (await statusOf(host)).router;
  const standing = connections.filter(({ state }) => state === "established");
  return standing.map(({ overlay, encrypted }) => `${overlay} ${encrypted}`).join();
}

test("the first password at run time brings WireGuard and the MTU for it, and the next daemon finds both", async () => {
  const made = await mesh("full", 2);
  lab = made.lab;
  const hosts = made.hosts as [Host, Host];
  const [c1, c2] = made.containers as [Container, Container];
  expect(await Promise.all([c1, c2].map(mtuOf))).toEqual([ROOM.clear, ROOM.clear]);
  const isKernel = await hasWireguard(hosts[0]);
  const way = `${isKernel ? "fastdp" : "sleeve"} true`;
  const encrypted = async (): Promise<void> => {
    for (const host of hosts) {
      await waitFor(`${way} at ${host.name}`, async () => (await waysOf(host)) === way, {
        deadlineMs: 20_000,
        everyMs: 50,
        show: () => describeHost(host),
      });
    }
  };
  const stream = await StreamRun.start(c1, c2, "10.2.1.2");
  for (const host of hosts) {
    const { stderr, code } = await host.weave("password", "add", "horse");
    expect([code, stderr]).toEqual([0, expect.stringContaining("add it on every other host")]);
    expect(stderr).not.toContain("started anew");
  }
  const { netns, device } = lab.segment(0).tap(hosts[0]);
  using tap = new FrameSocket(netns, device, "both");
  await encrypted();
  await stream.more(1 << 20, 20_000);
  expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
  for (const container of [c1, c2]) {
    await waitFor(`room in ${container.name}`, async () => (await mtuOf(container)) === ROOM.encrypted, { everyMs: 100 });
  }
  for (const host of hosts) {
    expect((await wireguardOf(host))?.peers.length).toBe(isKernel ? 1 : undefined);
  }

  // Largest packets, and nothing of them to be read.
  const full = [
    "ping",
    "-M",
    "do",
    "-s",
    `${ROOM.encrypted - 28}`,
    "-c3",
    "-i0.1",
    "-W2",
    "-p",
    Buffer.from(SECRET).toString("hex"),
  ];
  expect(await c1.must([...full, "10.2.1.2"])).toContain(" 0% packet loss");
  const frames = tap.drain();
  expect(frames.length).toBeGreaterThan(5);
  expect(frames.filter((frame) => Buffer.from(frame).includes(SECRET))).toEqual([]);

  await hosts[0].killDaemon();
  await hosts[0].must(["rm", "-f", "/run/weave/api.sock"]);
  hosts[0].background(["sh", "-c", "exec $0 daemon 2>/run/weave/daemon.log", EXECUTABLE]); // 'launch' would store other options
  await waitFor("largest packets again", async () => (await c1.run([...full, "10.2.1.2"])).stdout.includes(" 0% packet loss"));
  await encrypted();
});
