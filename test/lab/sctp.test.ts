// SPDX-License-Identifier: Apache-2.0
// SCTP between containers over the sleeve: its checksum is another than that of TCP and UDP, and nobody finishes it on the way, so the
// container's own kernel has to. Where that has no SCTP only the link is looked at; the virtual machine's has it.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Lab } from "../support/lab.ts";
import type { Container } from "../support/lab-host.ts";
import { mesh } from "../support/shapes.ts";
import { waitFor } from "../support/wait.ts";

const BYTES = 300_000;
Bun.spawnSync(["sh", "-c", "modprobe sctp"]); // a machine without modules has no such command either
const hasSctp = /^SCTP /m.test(readFileSync("/proc/net/protocols", "utf8"));
let lab: Lab;
let containers: [Container, Container];

beforeEach(async () => {
  const made = await mesh("full", 2, "--no-fastdp");
  lab = made.lab;
  containers = [...made.containers] as typeof containers;
});
afterEach(async () => await lab?.close());

test("a container's link leaves to others what the sleeve finishes, and nothing else", async () => {
  for (const container of containers) {
    const features = await container.must(["ethtool", "-k", "ethwe"]);
    expect(features).toMatch(/tx-checksum-sctp: off/);
    expect(features).toMatch(/tx-sctp-segmentation: off/);
    expect(features).toMatch(/tx-checksum-ip-generic: on/);
    expect(features).toMatch(/tcp-segmentation-offload: on/);
  }
});

test.skipIf(!hasSctp)(`SCTP carries ${BYTES} bytes (needs SCTP in the kernel)`, async () => {
  const [c1, c2] = containers;
  const sink = c2.background(["sh", "-c", "socat -u SCTP-LISTEN:7777 - | wc -c"]);
  const send = ["sh", "-c", `head -c ${BYTES} /dev/zero | socat -u -b 1000 - SCTP:10.2.1.2:7777,connect-timeout=5`];
  await waitFor("a connection", async () => (await c1.run(send)).code === 0, { everyMs: 200 });
  await waitFor("everything to arrive", () => sink.stdout.trim() === `${BYTES}`, { show: () => sink.stdout + sink.stderr });
});
