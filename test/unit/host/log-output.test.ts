// SPDX-License-Identifier: Apache-2.0
// Log lines: a prefix for the journal, level and time for a file, and a bound on the file.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logOutput, timedLine } from "../../../src/host/log-output.ts";
import { systemClock } from "../../../src/runtime/clock.ts";

let directory: string;
let path: string;
let fd: number;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weave-log-"));
  path = join(directory, "log");
  fd = openSync(path, "a");
});
afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true, force: true });
});

test("the journal gets the priority and no time", () => {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const write = logOutput({ env: { JOURNAL_STREAM: `${dev}:${ino}` }, clock: systemClock, fd });
  write("warn", "something peer=x");
  expect(readFileSync(path, "utf8")).toBe("<4>something peer=x\n");
});

test("a file gets level and time as before", () => {
  logOutput({ env: {}, clock: systemClock, fd })("error", "something");
  expect(readFileSync(path, "utf8")).toMatch(/^ERRO: \d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} something\n$/);
  const local = new Date(2026, 10, 2, 7, 8, 9, 45).getTime();
  expect(timedLine("info", "x", local)).toBe("INFO: 2026/11/02 07:08:09.045000 x\n");
});

test("a file beyond its bound begins anew, the lines before are beside it", () => {
  const write = logOutput({ env: {}, clock: systemClock, fd, limitBytes: 1000 });
  for (let i = 0; i < 100; i++) write("info", `line ${i}`);
  expect(statSync(path).size).toBeLessThan(1100);
  expect(statSync(`${path}.1`).size).toBeLessThan(1100);
  expect(readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8")).toContain("line 99\n");
  expect(readFileSync(path, "utf8").charCodeAt(0)).not.toBe(0);
});

test("a full disk costs the line, not the daemon", () => {
  const full = openSync("/dev/full", "w");
  const write = logOutput({ env: {}, clock: systemClock, fd: full });
  expect(() => write("info", "x")).not.toThrow();
  closeSync(full);
});
