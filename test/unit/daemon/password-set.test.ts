// SPDX-License-Identifier: Apache-2.0
// Passwords that change while the daemon runs.
import { describe, expect, test } from "bun:test";
import { PasswordSet } from "../../../src/daemon/password-set.ts";
import { passwordFingerprint } from "../../../src/host/passwords.ts";
import { UserError } from "../../../src/runtime/errors.ts";

function build(initial: readonly string[] = [], how: { areFixed?: boolean; diskIsFull?: boolean } = {}) {
  const calls: unknown[][] = [];
  const set = new PasswordSet(
    { initial, areFixed: how.areFixed ?? false },
    {
      store: (passwords) => {
        if (how.diskIsFull) throw new UserError("unavailable", "no space left on device");
        calls.push(["store", passwords]);
      },
      use: (passwords) => void calls.push(["use", passwords]),
      required: () => void calls.push(["required"]),
    },
  );
  return { set, calls };
}
function refusal(act: () => unknown): UserError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof UserError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was refused");
}

describe("adding", () => {
  test("is stored before it counts, and closes nothing when there was a password", () => {
    const { set, calls } = build(["old"]);
    expect(set.add("new")).toEqual({ changed: true, fingerprints: ["old", "new"].map(passwordFingerprint), warnings: [] });
    expect(calls).toEqual([
      ["store", ["old", "new"]],
      ["use", ["old", "new"]],
    ]);
  });
  test("the first one ends what goes on without, after it counts", () => {
    const { set, calls } = build();
    expect(set.add("new").warnings).toEqual([expect.stringContaining("add it on every other host")]);
    expect(calls.map(([name]) => name)).toEqual(["store", "use", "required"]);
  });
  test("one that is valid already changes nothing, also typed with other code points", () => {
    const { set, calls } = build(["p\u00e4ss"]);
    expect(set.add("pa\u0308ss")).toMatchObject({ changed: false, fingerprints: [expect.any(String)] });
    expect(calls).toEqual([]);
  });
  test("a fifth, an empty or an endless one is refused, and nothing has changed", () => {
    const { set, calls } = build(["a", "b", "c", "d"]);
    expect(refusal(() => set.add("e")).message).toContain("at most 4");
    expect(refusal(() => build().set.add("")).code).toBe("bad-request");
    expect(refusal(() => build().set.add("x".repeat(2000))).code).toBe("bad-request");
    expect([calls, set.texts]).toEqual([[], ["a", "b", "c", "d"]]);
  });
  test("what cannot be stored does not count", () => {
    const { set, calls } = build(["old"], { diskIsFull: true });
    expect(refusal(() => set.add("new")).message).toBe("no space left on device");
    expect([calls, set.texts]).toEqual([[], ["old"]]);
  });
  test("a command line that will win again is told", () => {
    expect(build(["old"], { areFixed: true }).set.add("new").warnings).toEqual([
      expect.stringContaining("--password on its command line"),
    ]);
  });
});

describe("removing", () => {
  test("leaves the others", () => {
    const { set, calls } = build(["old", "new"]);
    expect(set.remove("old", { force: false })).toEqual({
      changed: true,
      fingerprints: [passwordFingerprint("new")],
      warnings: [],
    });
    expect(calls).toEqual([
      ["store", ["new"]],
      ["use", ["new"]],
    ]);
  });
  test("one that is not valid is told without showing it", () => {
    const { message, hint, code } = refusal(() => build(["old"]).set.remove("secret word", { force: false }));
    expect(code).toBe("not-found");
    expect(message + hint).not.toContain("secret word");
  });
  test("the last one needs force", () => {
    const { set, calls } = build(["only"]);
    expect(refusal(() => set.remove("only", { force: false })).code).toBe("conflict");
    expect(set.remove("only", { force: true }).warnings).toEqual([expect.stringContaining("no password any more")]);
    expect(calls).toEqual([
      ["store", []],
      ["use", []],
    ]);
  });
});

test("a fingerprint is four digits that tell passwords apart", () => {
  const all = ["a", "b", "horse", "horse "].map(passwordFingerprint);
  expect(new Set(all).size).toBe(all.length);
  for (const one of all) expect(one).toMatch(/^[0-9a-f]{4}$/);
});
