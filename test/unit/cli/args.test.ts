// SPDX-License-Identifier: Apache-2.0
// Words are read strictly: nothing that was written is lost or taken for something else.
import { describe, expect, test } from "bun:test";
import { type ArgSpecs, parseArgs, splitArgs, UsageError } from "../../../src/cli/args.ts";

const SPECS = {
  first: { type: "positional", required: true },
  rest: { type: "positional", multiple: true },
  "no-x": { type: "boolean" },
  name: { type: "string", alias: "n" },
  many: { type: "string", multiple: true },
  level: { type: "enum", options: ["low", "high"] },
} as const satisfies ArgSpecs;
const parse = (...argv: string[]) => parseArgs(SPECS, splitArgs(SPECS, argv));

describe("arguments", () => {
  test("flags may stand anywhere, with = or a space", () => {
    const parsed = { first: "a", rest: ["b"], "no-x": true, name: "v", many: ["1", "2"], level: "low" };
    expect(parse("a", "--no-x", "b", "--name", "v", "--many=1", "--many", "2", "--level", "low")).toEqual(parsed);
    expect(parse("--many", "1", "-n=v", "--no-x=true", "--many", "2", "--level=low", "a", "b")).toEqual(parsed);
  });
  test("what is not given is empty", () => {
    expect(parse("a")).toEqual({ first: "a", rest: [], "no-x": false, name: undefined, many: [], level: undefined });
  });
  test("-- ends the flags, - is a word", () => {
    expect(parse("-", "--", "--name", "-n")).toMatchObject({ first: "-", rest: ["--name", "-n"], name: undefined });
  });
  test("a value may look like a flag or be empty, the later of two counts", () => {
    expect(parse("a", "--name", "--no-x", "-n", "").name).toBe("");
    expect(parse("a", "--name", "--no-x").name).toBe("--no-x");
    expect(parse("a", "--name=x=y").name).toBe("x=y");
    expect(parse("a", "--no-x", "--no-x=false")["no-x"]).toBe(false);
  });
  test.each([
    [["a", "--nmae"], "unknown flag '--nmae'"],
    [["a", "-x"], "unknown flag '-x'"],
    [["a", "-name", "v"], "unknown flag '-name'"],
    [["a", "--n", "v"], "unknown flag '--n'"],
    [["a", "--x"], "unknown flag '--x'"],
    [["a", "--first", "v"], "unknown flag '--first'"],
    [["a", "--name"], "'--name' needs a value"],
    [["a", "--no-x=perhaps"], "'--no-x' takes true or false, not 'perhaps'"],
    [["a", "--level", "mid"], "invalid value 'mid' for --level"],
    [[], "<first> is missing"],
  ])("%j is refused", (argv, message) => {
    expect(() => parse(...argv)).toThrow(expect.objectContaining({ message }));
    expect(() => parse(...argv)).toThrow(UsageError);
  });
  test("a superfluous word is named", () => {
    const one = { word: { type: "positional" } } as const satisfies ArgSpecs;
    expect(() => parseArgs(one, splitArgs(one, ["a", "b"]))).toThrow("superfluous argument 'b'");
  });
  test("a wrong flag names the nearest", () => {
    expect(() => parse("a", "--nmae")).toThrow(expect.objectContaining({ hint: "did you mean '--name'?" }));
  });
});
