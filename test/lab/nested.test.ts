// SPDX-License-Identifier: Apache-2.0
// Containers that run a network of their own on top of ours: VXLAN between two containers on two hosts, with TCP through it. Their kernel hands
// over super-packets of a tunnel, whose segments lie inside of it.
//
//   h1 [c1 ── vxlan 10.9.0.1] ── h2 [c2 ── vxlan 10.9.0.2]
import { afterEach, describe, expect, test } from "bun:test";
import type { Lab } from "../support/lab.ts";
import type { Container } from "../support/lab-host.ts";
import { mesh } from "../support/shapes.ts";
import { StreamRun } from "../support/traffic.ts";

let lab: Lab;
afterEach(async () => await lab?.close());

async function tunnel(container: Container, kind: string, own: string, other: string, inside: string): Promise<void> {
  const link: Record<string, string> = {
    VXLAN: `vxlan id 9 remote ${other} local ${own} dstport 4789 dev ethwe`,
    "VXLAN with checksums": `vxlan id 9 remote ${other} local ${own} dstport 4789 udpcsum dev ethwe`,
  };
  await container.must(["ip", "-batch", "-"], {
    stdin: [`link add tun9 type ${link[kind]}`, `link set tun9 up`, `address add ${inside} dev tun9`].join("\n"),
  });
}

describe.each([
  ["the clear sleeve", ["--no-fastdp"]],
  ["the encrypted sleeve", ["--no-fastdp", "--password", "horse"]],
  ["fastdp", []],
] as const)("over %s", (_, flags) => {
  test.each(["VXLAN", "VXLAN with checksums"])("TCP in a container's own %s", async (kind) => {
    const made = await mesh("full", 2, ...flags);
    lab = made.lab;
    const [c1, c2] = made.containers as [Container, Container];
    await tunnel(c1, kind, "10.2.1.1", "10.2.1.2", "10.9.0.1/30");
    await tunnel(c2, kind, "10.2.1.2", "10.2.1.1", "10.9.0.2/30");
    expect(await c1.reaches("10.9.0.2")).toBe(true);
    for (const [from, to, address] of [
      [c1, c2, "10.9.0.2"],
      [c2, c1, "10.9.0.1"],
    ] as const) {
      const stream = await StreamRun.start(from, to, address);
      await stream.more(5_000_000);
      expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    }
  });
});
