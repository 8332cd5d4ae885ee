// SPDX-License-Identifier: Apache-2.0
// Gives back memory that only start-up needed. Most of the executable's pages are touched once, while the runtime sets itself up; they stay
// mapped although nobody uses them again. Unmapping them is free: what is needed is mapped again from the page cache at its next use.

import type { Pointer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { checked } from "../errno.ts";
import { libc } from "./symbols.ts";

const MADV_DONTNEED = 4; // asm-generic/mman-common.h

/** Unmaps the executable's read-only pages and tells how many bytes of addresses that were. Mappings with pages of our own stay.
 *  @throws {SystemError} */
export function releaseFilePages(executable: string): number {
  let released = 0;
  for (const { start, length } of readOnlyMappings(readFileSync("/proc/self/smaps", "latin1"), executable)) {
    checked(libc().symbols.madvise(start as Pointer, length, MADV_DONTNEED), "madvise", executable);
    released += length;
  }
  return released;
}

/** Mappings of a file that cannot be written to and hold no private pages, from smaps (proc(5)). */
export function readOnlyMappings(smaps: string, file: string): { readonly start: number; readonly length: number }[] {
  return smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/).flatMap((mapping) => {
    const header = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ \S+ +(.+)$/m.exec(mapping);
    const isClean = /^Private_Dirty: +0 kB$/m.test(mapping) && /^Anonymous: +0 kB$/m.test(mapping);
    if (!header || header[3] !== file || !isClean) return [];
    const start = Number.parseInt(header[1] ?? "", 16);
    return [{ start, length: Number.parseInt(header[2] ?? "", 16) - start }];
  });
}
