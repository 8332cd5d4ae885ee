// SPDX-License-Identifier: Apache-2.0
// Who was turned away, as the status shows it.
import { expect, test } from "bun:test";
import { TurnedAway } from "../../../src/mesh/turned-away.ts";
import type { Clock } from "../../../src/runtime/clock.ts";

function build() {
  const time = { now: 0 };
  const clock: Clock = { now: () => time.now, wallMs: () => 1000 + time.now, after: () => ({ [Symbol.dispose]: () => {} }) };
  const neighbours = new Set<string>();
  return { time, neighbours, turnedAway: new TurnedAway(clock, (host) => neighbours.has(host)) };
}

test("each host stands once, with its last address and since when for that reason", () => {
  const { time, turnedAway } = build();
  turnedAway.add("10.0.0.2:1000", "wrong password");
  time.now = 5_000;
  turnedAway.add("10.0.0.2:1001", "wrong password");
  expect(turnedAway.list()).toMatchObject([
    { address: "10.0.0.2:1001", reason: "wrong password", state: "failed", outbound: false, sinceMs: 1000 },
  ]);
  turnedAway.add("10.0.0.2:1002", "peer names collision");
  expect(turnedAway.list()).toMatchObject([{ reason: "peer names collision", sinceMs: 6000 }]);
});

test("a host that is let in, or does not come back, is forgotten, and strangers cannot fill the list", () => {
  const { time, turnedAway } = build();
  turnedAway.add("[2001:db8::1]:5", "wrong password");
  turnedAway.clear("[2001:db8::1]:7");
  expect(turnedAway.list()).toEqual([]);
  for (let host = 1; host <= 200; host++) turnedAway.add(`10.0.${host}.1:5`, "wrong password");
  expect(turnedAway.list().length).toBe(64);
  time.now = 100_000;
  expect(turnedAway.list()).toEqual([]);
});

test("an attempt that a connected host gave up tells nothing, one that was refused does", () => {
  const { turnedAway, neighbours } = build();
  neighbours.add("10.0.0.2");
  expect(turnedAway.add("10.0.0.2:1000", "the peer closed the connection", true)).toBe(false);
  expect(turnedAway.list()).toEqual([]);
  expect(turnedAway.add("10.0.0.2:1002", "wrong password")).toBe(true);
  expect(turnedAway.add("10.0.0.3:1000", "the peer closed the connection", true)).toBe(true);
});
