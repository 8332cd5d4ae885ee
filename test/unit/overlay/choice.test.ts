// SPDX-License-Identifier: Apache-2.0
// What the other end says of a way, when it says so late or while ways change. How ways are chosen is in test/sim/paths.test.ts.
import { expect, test } from "bun:test";
import { PathChoice } from "../../../src/overlay/choice.ts";
import type { PathKind } from "../../../src/overlay/plan.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { manualClock } from "../mesh/builders.ts";

function build() {
  const { clock, advance } = manualClock();
  const asked: [PathKind, number][] = [];
  const choice = new PathChoice(["fastdp", "sleeve"], {
    clock,
    random: seededRandom(1),
    send: (kind) => asked.push([kind, asked.length]) - 1,
    look: () => {},
    alive: () => {},
    changed: () => {},
    tell: () => {},
    sleeve: () => {},
    sentBytes: () => 0,
  });
  const answer = (): void => {
    for (const [kind, sequence] of asked) choice.answered(kind, sequence, 1);
  };
  for (const kind of ["fastdp", "sleeve"] as const) choice.offer(kind);
  answer();
  return { choice, advance, answer };
}

test("that the other end gets no answer on the way in use is believed after a moment, unless it takes it back", () => {
  const { choice, advance } = build();
  expect(choice.used).toBe("fastdp");
  choice.remote("fastdp", false);
  advance(100);
  choice.remote("fastdp", true);
  advance(1_000);
  expect(choice.used).toBe("fastdp");
  choice.remote("fastdp", false);
  advance(1_000);
  expect(choice.used).toBe("sleeve");
  choice.remote("fastdp", true);
  expect(choice.used).toBe("fastdp");
});

test("it may take it back while another way is in use: what it said before is not believed then", () => {
  const { choice, advance, answer } = build();
  choice.remote("fastdp", true);
  choice.remote("fastdp", false);
  choice.withdraw("fastdp", "gone for a moment");
  expect(choice.used).toBe("sleeve");
  choice.offer("fastdp");
  choice.remote("fastdp", true);
  answer();
  advance(1_000);
  expect(choice.candidates.find(({ kind }) => kind === "fastdp")?.remoteUp).toBe(true);
  expect(choice.used).toBe("fastdp");
});
