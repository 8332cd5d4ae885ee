// SPDX-License-Identifier: Apache-2.0
// The sleeve lives in the daemon, so what it carries stops with it. A daemon that is killed and started anew is back before a TCP flow notices
// more than a few lost segments: its neighbours dial it without a pause, and the first thing they agree on is the sleeve. It also comes back when somebody
// takes away its link.
import { expect, test } from "bun:test";
import { Lab } from "../../support/lab.ts";
import { PingRun, StreamRun } from "../../support/traffic.ts";
import { waitFor } from "../../support/wait.ts";
import { attachEverywhere, launch, waitForMesh } from "../../support/weave.ts";

const FLAGS = ["--no-fastdp", "--password", "horse"];
/** From the first lost packet to the next answer, in the best of all restarts; a busy machine makes any one of them longer. */
const GAP_MS = 300;

test("kill -9 and a new daemon under a TCP stream, at either end: the flow lives, the gap is under 300 ms", async () => {
  await using lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  const [h1, h2] = [lab.host("h1"), lab.host("h2")];
  await launch(h1, ...FLAGS);
  await launch(h2, ...FLAGS, h1.address);
  await waitForMesh([h1, h2]);
  const [c1, c2] = await attachEverywhere([h1, h2]);
  if (c1 === undefined || c2 === undefined) throw new Error("no containers");
  const gaps = new Map([h1, h2].map((host) => [host.name, [] as number[]]));
  for (const host of [h1, h2, h1, h2, h1, h2]) {
    const ping = await PingRun.start(c1, "10.2.1.2", 0.005);
    const stream = await StreamRun.start(c1, c2, "10.2.1.2");
    await stream.more(1 << 20);
    await host.killDaemon();
    await launch(host, ...FLAGS, "--resume");
    await stream.more(1 << 20);
    await ping.more(20);
    expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    gaps.get(host.name)?.push((await ping.stop()).outageMs);
  }
  await h1.must(["ip", "link", "del", "vethwe-sleeve"]);
  await waitFor("the sleeve to run again", () => c1.reaches("10.2.1.2", 200), { deadlineMs: 10_000 });
  console.log(`gaps in ms: ${JSON.stringify(Object.fromEntries(gaps))}`);
  for (const all of gaps.values()) expect(Math.min(...all)).toBeLessThan(GAP_MS);
}, 120_000);
