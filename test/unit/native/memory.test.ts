// SPDX-License-Identifier: Apache-2.0
// Giving back pages that only start-up needed.
import { expect, test } from "bun:test";
import { readFileSync, realpathSync } from "node:fs";
import { dispensablePages, privateBytes, readOnlyMappings } from "../../../native/libc/memory.ts";

const mapping = (range: string, mode: string, file: string, dirty: number) =>
  `${range} ${mode} 00001000 fe:00 123                        ${file}\nRss:      40 kB\nPrivate_Dirty:         ${dirty} kB\nAnonymous:         ${dirty} kB\nVmFlags: rd ex`;

test("only clean read-only pages of that file are given back", () => {
  const smaps = [
    mapping("1000-3000", "r-xp", "/usr/bin/weave", 0),
    mapping("3000-4000", "r--p", "/usr/bin/weave", 0),
    mapping("7000-8000", "rw-p", "/usr/bin/weave", 0),
    mapping("4000-5000", "r-xp", "/usr/bin/weave", 4),
    mapping("5000-6000", "r-xp", "/lib/libc.so.6", 0),
  ].join("\n");
  expect(readOnlyMappings(smaps, "/usr/bin/weave")).toEqual([
    { start: 0x1000, length: 0x2000 },
    { start: 0x3000, length: 0x1000 },
  ]);
});

test("the process runs on afterwards, with less memory", () => {
  const executable = realpathSync("/proc/self/exe");
  const resident = () => Number(/^RssFile:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]);
  const pages = dispensablePages(executable);
  expect(pages.bytes).toBeGreaterThan(0);
  for (let time = 0; time < 2; time++) {
    const before = resident();
    pages.release();
    expect(resident()).toBeLessThan(before);
    expect(JSON.parse(JSON.stringify({ still: [1, 2, 3] }))).toEqual({ still: [1, 2, 3] });
  }
});

test("what is allocated and touched is private memory", () => {
  const before = privateBytes();
  const block = new Uint8Array(16 * 2 ** 20).fill(1);
  expect(privateBytes() - before).toBeGreaterThan(block.length / 2);
  expect(block[block.length - 1]).toBe(1);
});
