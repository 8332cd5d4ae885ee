// SPDX-License-Identifier: Apache-2.0
// printf as Go's fmt has it; each right side is what Go prints.
import { describe, expect, test } from "bun:test";
import type { GoValue } from "../../../../src/api/render/go-json.ts";
import { sprintf } from "../../../../src/api/template/printf.ts";
import { formatNumber } from "../../../../src/api/template/show.ts";

const S = { A: 1, B: "x" };
const CASES: readonly (readonly [string, readonly GoValue[], string])[] = [
  ["%d|%5d|%-5d|%05d|%+d|% d", [7, 7, 7, 7, 7, 7], "7|    7|7    |00007|+7| 7"],
  ["%x %X %#x %o %#o %b %O", [255, 255, 255, 8, 8, 5, 8], "ff FF 0xff 10 010 101 0o10"],
  ["%c %q %U", [65, 65, 0x1f600], "A 'A' U+1F600"],
  ["%s|%10s|%-10s|%.2s|%q|%x", ["abc", "abc", "abc", "abc", 'a"b', "hi"], 'abc|       abc|abc       |ab|"a\\"b"|6869'],
  ["%v %+v %T %T %T", [S, S, 1, "x", true], "{1 x} {A:1 B:x} int string bool"],
  ["%v %v %v", [null, undefined, [1, 2]], "<nil> <nil> [1 2]"],
  ["%t %v", [true, false], "true false"],
  ["%f %.2f %8.3f %e %g", [1.5, 1.255, 1.5, 1234.5678, 0.000001], "1.500000 1.25    1.500 1.234568e+03 1e-06"],
  ["%6.2f|%-8.1f|%+.1f|%06.1f", [3.25, 2.5, 2.5, -2.5], "  3.25|2.5     |+2.5|-002.5"],
  ["%d%%", [50], "50%"],
  ["%*d|%-*d|%.*f", [5, 1, 5, 1, 2, 1.5], "    1|1    |1.50"],
  ["%d %d", [1], "1 %!d(MISSING)"],
  ["%d", [1, "x"], "1%!(EXTRA string=x)"],
  ["%d %s", ["x", 5], "%!d(string=x) %!s(int=5)"],
  ["%z", [1], "%!z(int=1)"],
  ["abc%", [], "abc%!(NOVERB)"],
  ["%05d %05s", [-42, "ab"], "-0042 000ab"],
  ["%*d|", [9_999_999, 1], "%!(BADWIDTH)1|"],
  ["%5t|%5v|%-5v|", [true, 1, 1], " true|    1|1    |"],
  ["%d", [18446744073709551615n], "18446744073709551615"],
  ["%5s|%-3s|", ["ä", "😀"], "    ä|😀  |"],
  ["%9999999d", [1], "%!(NOVERB)%!(EXTRA int=1)"],
];

describe("printf", () => {
  for (const [template, values, output] of CASES) {
    test(`${template} of ${values.map(String).join(", ")} is ${output}`, () => expect(sprintf(template, values)).toBe(output));
  }
});

test.each([
  [0.1, "0.1"],
  [100, "100"],
  [1e20, "100000000000000000000"],
  [1e21, "1e+21"],
  [0.0001, "0.0001"],
  [0.00001, "1e-05"],
  [-2.5, "-2.5"],
  [0.30000000000000004, "0.30000000000000004"],
  [Number.POSITIVE_INFINITY, "+Inf"],
  [Number.NaN, "NaN"],
])("%d is printed as %s", (value, text) => {
  expect(formatNumber(value)).toBe(text);
});
