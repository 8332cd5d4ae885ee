// SPDX-License-Identifier: Apache-2.0
// The nearest known word is proposed when it is near enough.
import { expect, test } from "bun:test";
import { didYouMean, nearest } from "../../../src/config/nearest.ts";

const WORDS = ["attach", "detach", "status", "stop", "ps"];

test.each([
  ["atach", "attach"],
  ["attahc", "attach"],
  ["STATUS", "status"],
  ["statsu", "status"],
  ["sotp", "stop"],
  ["p", "ps"],
  ["zebra", undefined],
  ["", undefined],
  ["x".repeat(100_000), undefined],
])("%.20s is nearest to %s", (word, found) => {
  expect(nearest(word, WORDS)).toBe(found);
});

test("the proposal is a sentence, or nothing", () => {
  expect(didYouMean("atach", WORDS, (name) => `weave ${name}`)).toBe("did you mean 'weave attach'?");
  expect(didYouMean("zebra", WORDS)).toBe("");
});
