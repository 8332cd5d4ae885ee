// SPDX-License-Identifier: Apache-2.0
// `weave password`: where the secret comes from, and that it goes nowhere else.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretFromFile, secretIn, typedLine } from "../../../src/cli/secret.ts";
import { FakeDaemon } from "./fake-cli.ts";

let daemon: FakeDaemon;
let directory: string;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
  directory = mkdtempSync(join(tmpdir(), "weave-password-"));
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  daemon.backend.calls.length = 0;
  daemon.backend.fingerprints = ["a1b2", "c3d4"];
});

function file(text: string | Uint8Array): string {
  const path = join(directory, "secret");
  writeFileSync(path, text);
  return path;
}

describe("the command", () => {
  test("list tells how many there are and their fingerprints", async () => {
    expect(await daemon.run("password", "list")).toEqual({ code: 0, out: "2 passwords\na1b2\nc3d4\n", err: "" });
    expect(JSON.parse((await daemon.run("password", "list", "--json")).out)).toEqual({
      apiVersion: 1,
      count: 2,
      fingerprints: ["a1b2", "c3d4"],
    });
    daemon.backend.fingerprints = [];
    expect((await daemon.run("password", "list")).out).toBe("no password: every host without one may connect\n");
  });
  test("the secret is an argument, a file's line, or asked for; twice when it is a new one", async () => {
    await daemon.run("password", "add", "one two");
    await daemon.run("password", "add", "--file", file("three\r\n"));
    await daemon.run("password", "add");
    await daemon.run("password", "remove", "--force");
    expect(daemon.backend.calls).toEqual([
      ["addPassword", "one two"],
      ["addPassword", "three"],
      ["addPassword", "typed twice"],
      ["removePassword", "typed", { force: true }],
    ]);
  });
  test("prints what is valid now, and warnings on stderr", async () => {
    expect(await daemon.run("password", "add", "new")).toEqual({ code: 0, out: "1 password\na1b2\n", err: "" });
    expect(await daemon.run("password", "add", "known")).toMatchObject({ code: 0, err: "weave password: it is valid already\n" });
    const { out, err } = await daemon.run("password", "remove", "old", "--force", "--json");
    expect(err).toBe("weave password: warning: there is no password any more\n");
    expect(JSON.parse(out)).toEqual({
      apiVersion: 1,
      count: 0,
      fingerprints: [],
      changed: true,
      warnings: ["there is no password any more"],
    });
  });
  test.each([
    ["no such action", ["swap", "x"], "'swap' is not add, remove or list"],
    ["no action", [], "<action> is missing"],
    ["two sources", ["add", "x", "--file", "/x"], "exclude each other"],
    ["an empty one", ["add", ""], "an empty password protects nothing"],
    ["list with a word", ["list", "x"], "list takes no password"],
    ["force where it means nothing", ["add", "x", "--force"], "--force has no meaning for add"],
  ])("wrong usage: %s", async (_, words, message) => {
    const { code, out, err } = await daemon.run("password", ...words);
    expect([code, out]).toEqual([1, ""]);
    expect(err.split("\n")[0]).toContain(message);
    expect(daemon.backend.calls).toEqual([]);
  });
  test("is not served to who may only look", async () => {
    await using readOnly = await FakeDaemon.start({ readOnly: true });
    expect((await readOnly.run("password", "list")).code).toBe(4);
  });
});

describe("a secret from outside", () => {
  test("is one line of text", () => {
    expect(secretFromFile(file("p\u00e4ss word"))).toBe("p\u00e4ss word");
    expect(() => secretFromFile(file(""))).toThrow("it is empty");
    expect(() => secretFromFile(file("a\nb\n"))).toThrow("more than one line");
    expect(() => secretFromFile(file("x".repeat(5000)))).toThrow("more than 4096 bytes");
    expect(() => secretFromFile(file(Uint8Array.of(0xff, 0xfe)))).toThrow("not UTF-8");
    expect(() => secretFromFile(join(directory, "none"))).toThrow("no such file");
    expect(() => secretIn(new Uint8Array(0), "standard input")).toThrow("from standard input: it is empty");
  });
  test("typed at a terminal it ends with Enter and can be corrected", () => {
    expect(typedLine("hors")).toBeUndefined();
    expect(typedLine("horze\u007f\u007fse\rnext")).toEqual({ line: "horse", rest: "next" });
    expect(typedLine("wrong\u0015right\n")).toEqual({ line: "right", rest: "" });
    expect(typedLine("\ud83d\ude00\u007fx\r")).toEqual({ line: "x", rest: "" });
    expect(typedLine("ab\u0003")).toBe("cancelled");
    expect(typedLine("\u0004")).toBe("cancelled");
  });
});
