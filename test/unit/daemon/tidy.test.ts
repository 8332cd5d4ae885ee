// SPDX-License-Identifier: Apache-2.0
// When an idle daemon's heap is collected.
import { expect, test } from "bun:test";
import { Tidier } from "../../../src/daemon/tidy.ts";

const MIB = 2 ** 20;

function build() {
  const done: string[] = [];
  const memory = { bytes: 30 * MIB, live: 20 * MIB };
  const tidier = new Tidier({
    privateBytes: () => memory.bytes,
    collect: () => {
      done.push("collect");
      memory.bytes = memory.live;
    },
    releasePages: () => void done.push("release"),
  });
  return { tidier, memory, done };
}

test("the first time, and after a growth of 1 MiB; pages are given back each time", () => {
  const { tidier, memory, done } = build();
  tidier.tidy();
  expect(done.splice(0)).toEqual(["release", "collect"]);
  memory.bytes += 0.9 * MIB;
  tidier.tidy();
  tidier.tidy();
  expect(done.splice(0)).toEqual(["release", "release"]);
  memory.bytes += 0.1 * MIB;
  tidier.tidy();
  expect(done.splice(0)).toEqual(["release", "collect"]);
  tidier.tidy();
  expect(done.splice(0)).toEqual(["release"]);
});

test("what the runtime gave back by itself counts as given back", () => {
  const { tidier, memory } = build();
  tidier.tidy();
  memory.bytes = 15 * MIB;
  tidier.tidy();
  memory.bytes = 16 * MIB;
  memory.live = 15.5 * MIB;
  tidier.tidy();
  expect(memory.bytes).toBe(15.5 * MIB);
});
