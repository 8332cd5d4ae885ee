// SPDX-License-Identifier: Apache-2.0
// Gives back memory that only start-up needed. Most of the executable's pages are touched once, while the runtime sets itself up; they stay
// mapped although nobody uses them again. Unmapping them is free: what is needed is mapped again from the page cache at its next use.

import type { Pointer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { checked } from "../errno.ts";
import { libc } from "./symbols.ts";

const MADV_DONTNEED = 4; // asm-generic/mman-common.h

/** Read-only pages of a file, to be unmapped as often as wanted: they hold nothing of ours and never will. */
export interface Dispensable {
  /** Of addresses, whether anything is mapped there or not. */
  readonly bytes: number;
  /** @throws {SystemError} */
  release(): void;
}

/** Those of the executable of this process. Mappings with pages of our own are left out. */
export function dispensablePages(executable: string): Dispensable {
  const mappings = readOnlyMappings(readFileSync("/proc/self/smaps", "latin1"), executable);
  return {
    bytes: mappings.reduce((sum, { length }) => sum + length, 0),
    release() {
      for (const { start, length } of mappings)
        checked(libc().symbols.madvise(start as Pointer, length, MADV_DONTNEED), "madvise", executable);
    },
  };
}

const PAGE_BYTES = 4096; // on x86-64, and on arm64 as all distributions have it; this is for comparing only

/** Memory of this process that is nobody else's and no file's: proc_pid_statm(5). */
export function privateBytes(): number {
  const [, resident = 0, shared = 0] = readFileSync("/proc/self/statm", "latin1").split(" ").map(Number);
  return (resident - shared) * PAGE_BYTES;
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
