// SPDX-License-Identifier: Apache-2.0
// Whom an address waits for after it was released.
import { expect, test } from "bun:test";
import { foundRing } from "../../../src/ipam/ring.ts";
import { Space } from "../../../src/ipam/space.ts";
import { peerName } from "../../support/records.ts";

const range = { start: 10, end: 13 };

test("an address of who may return is given to others by name, or when nothing else is free, and to all when he is gone for good", () => {
  let now = 0;
  let isThere = true;
  const clock = { now: () => now, wallMs: () => now, after: () => ({ [Symbol.dispose]: () => {} }) };
  const options = {
    self: peerName(1),
    range,
    quarantineMs: 30_000,
    mayReturn: ({ owner }: { owner: string }) => isThere && owner === "a",
  };
  const disk = { leases: [], freed: [] };
  const space = new Space(options, clock, disk);
  space.merge(foundRing(range, [peerName(1)]));
  const allocate = (owner: string, evenResting = false, at = space) =>
    at.allocate({ owner, prefixLength: 24, family: "v4", via: "attach" }, range, evenResting)?.address;
  expect([allocate("a"), allocate("b")]).toEqual([10, 11]);
  space.release("a", 10);
  space.release("b", 11);
  const freed = space.takeChange()?.freed ?? [];
  now += 3_600_000;
  expect([allocate("c"), allocate("d"), allocate("e")]).toEqual([11, 12, undefined]);
  expect(allocate("a")).toBe(10);
  space.release("a", 10);
  space.claim({ owner: "d", address: 10, prefixLength: 24, family: "v4", via: "attach" });
  expect([allocate("a"), allocate("a", true)]).toEqual([undefined, undefined]);
  space.release("d", 10);
  expect([allocate("e"), allocate("e", true)]).toEqual([undefined, 10]);

  // After the host was off for long, too.
  const later = new Space(options, clock, { leases: [], freed });
  later.merge(foundRing(range, [peerName(1)]));
  expect([allocate("c", false, later), allocate("a", false, later)]).toEqual([11, 10]);
  later.release("a", 10);
  now += 30_000;
  isThere = false;
  expect([allocate("d", false, later), allocate("a", false, later)]).toEqual([10, 12]);
});
