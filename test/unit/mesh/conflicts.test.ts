// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { Conflicts } from "../../../src/mesh/conflicts.ts";
import { Warnings } from "../../../src/mesh/warnings.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { VirtualTime } from "../../sim/harness/virtual-clock.ts";
import { peerName } from "../../support/records.ts";

test("a hundred thousand made-up lives of ours raise our version a few times, and cost next to nothing", () => {
  const time = new VirtualTime();
  const clock = {
    now: () => time.now(),
    wallMs: () => 0,
    after: (delayMs: number, fire: () => void) => time.after(delayMs, fire),
  };
  const raised: number[] = [];
  const conflicts = new Conflicts({
    clock,
    log: silentLog,
    warnings: new Warnings(clock),
    self: peerName(1),
    nickname: "host1",
    raiseAbove: (version) => raised.push(version),
    addressesOfUs: () => ({ here: [], elsewhere: [] }),
  });
  for (let i = 1; i <= 100_000; i++) {
    conflicts.ownSeen({ name: peerName(1), uid: i.toString(16).padStart(16, "0"), version: i });
    if (i % 1000 === 0) time.runUntil(time.now() + 100);
  }
  time.runUntil(time.now() + 10_000);
  expect(raised.length).toBeLessThan(20);
  expect(raised.at(-1)).toBe(100_000);
});
