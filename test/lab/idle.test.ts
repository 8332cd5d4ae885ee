// SPDX-License-Identifier: Apache-2.0
// A daemon that has nothing to do hardly ever wakes, because each time costs more than what is done then: what recurs shares its wake-ups, and the
// answers to probes of near neighbours are there before it sleeps again. Counted, not timed, so that a busy machine does not matter.
//
//   h1 ──┐
//   h2 ──┼── seg0
//   h3 ──┘
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Lab } from "../support/lab.ts";
import type { Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch, waitForMesh } from "../support/weave.ts";

const LOOK_MS = 6_000;
/** What recurs comes every 750 ms, 1.33 times a second, and the runtime's own timers 1.25 times; answers through the sleeve, a thread, are looked for
 *  once more. It was 9 when everything had its own timer. */
const WAKES_PER_SECOND = { clear: 3.5, sleeve: 4.5 } as const;

/** How often the process's first thread went to sleep so far: proc_pid_status(5). */
function sleeps(pid: number): number {
  return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${pid}/status`, "latin1"))?.[1]);
}

/** Quietest of some looks, because once in a minute it tidies up and every 30 s it looks at everything. */
async function wakesPerSecond(host: Host, wanted: number): Promise<number> {
  const pid = host.daemonPid() ?? 0;
  let best = Number.POSITIVE_INFINITY;
  let before = sleeps(pid);
  let since = performance.now();
  await waitFor(
    "a quiet while",
    () => {
      if (performance.now() - since < LOOK_MS) return false;
      const now = sleeps(pid);
      best = Math.min(best, (now - before) / ((performance.now() - since) / 1_000));
      before = now;
      since = performance.now();
      return best < wanted;
    },
    { deadlineMs: 45_000, everyMs: 100, show: () => `${best} a second` },
  );
  return best;
}

describe.each([
  ["clear", []],
  ["sleeve", ["--password", "correct horse battery staple", "--no-fastdp"]],
] as const)("%s", (kind, options) => {
  let lab: Lab;
  let hosts: readonly Host[];
  beforeAll(async () => {
    lab = await Lab.with({ hosts: ["h1", "h2", "h3"], segments: [["h1", "h2", "h3"]] });
    hosts = ["h1", "h2", "h3"].map((name) => lab.host(name));
    for (const [index, host] of hosts.entries()) await launch(host, ...options, ...(index > 0 ? [lab.host("h1").address] : []));
    await waitForMesh(hosts);
    await attach(lab.host("h1"), "c1", "10.2.1.1/24");
  });
  afterAll(async () => await lab?.close());

  test("a daemon with two neighbours and a container wakes for its ticks and little else", async () => {
    const limit = WAKES_PER_SECOND[kind];
    expect(await wakesPerSecond(lab.host("h1"), limit)).toBeLessThan(limit);
  }, 90_000);
});
