// SPDX-License-Identifier: Apache-2.0
// eq ne lt le gt ge: only values of one kind can be compared, and only basic ones.
import type { GoValue } from "../render/go-json.ts";

type Basic = boolean | number | bigint | string;

function basic(value: GoValue): Basic {
  if (value === null || value === undefined || typeof value === "object") throw new Error("invalid type for comparison");
  return value;
}

function kind(value: Basic): string {
  return typeof value === "bigint" ? "number" : typeof value;
}

export function equal(first: GoValue, others: readonly GoValue[]): boolean {
  if (others.length === 0) throw new Error("missing argument for comparison");
  return others.some((other) => equalPair(first, other));
}

// Two nils are equal, and a nil differs from everything; other mixtures are an error.
function equalPair(first: GoValue, second: GoValue): boolean {
  const [nilFirst, nilSecond] = [first ?? null, second ?? null].map((value) => value === null);
  if (nilFirst || nilSecond) return nilFirst === nilSecond;
  const [a, b] = [basic(first), basic(second)];
  if (kind(a) !== kind(b)) throw new Error("incompatible types for comparison");
  // biome-ignore lint/suspicious/noDoubleEquals: 1 and 1n are equal numbers, kinds were compared above
  return a == b;
}

export function less(first: GoValue, second: GoValue): boolean {
  const [a, b] = [basic(first), basic(second)];
  if (kind(a) !== kind(b)) throw new Error("incompatible types for comparison");
  if (typeof a === "boolean") throw new Error("invalid type for comparison");
  return a < b;
}
