// SPDX-License-Identifier: Apache-2.0
// The copy of libbpf inside the executable. `build.ts` makes the file; without it this module cannot be resolved. It is handed to C as a file
// in memory: /run may be mounted without execution, and nothing stays behind.
import { readFileSync } from "node:fs";
import libraryPath from "../../dist/libbpf/libbpf.so" with { type: "file" };
import { isSystemError } from "../errno.ts";
import { bytesOf, type OwnCopy } from "../ffi.ts";
import { MemoryFile } from "../libc/memory-file.ts";

export const ownLibbpf: OwnCopy = {
  packages: { deb: "libelf1", rpm: "elfutils-libelf" },
  open(): MemoryFile | undefined {
    const content = readFileSync(libraryPath);
    if (content.length === 0) return undefined;
    try {
      return new MemoryFile("libbpf", bytesOf(content));
    } catch (thrown) {
      if (isSystemError(thrown, "EACCES", "EPERM", "ENOSYS")) return undefined; // vm.memfd_noexec=2: then the host has to have libbpf
      throw thrown;
    }
  },
};
