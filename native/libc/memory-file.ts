// SPDX-License-Identifier: Apache-2.0
// A file without a name, in memory only, for C libraries that take nothing but a path: gone with its last descriptor and mapping.
import { checked, isSystemError } from "../errno.ts";
import type { Bytes } from "../ffi.ts";
import { close, write } from "./fd.ts";
import { libc } from "./symbols.ts";

// linux/memfd.h
const MFD_CLOEXEC = 1;
const MFD_EXEC = 0x10; // Linux 6.3: may be mapped executable, also where the sysctl vm.memfd_noexec says otherwise for those who do not ask

export class MemoryFile implements Disposable {
  readonly #fd: number;

  /** `name` is for /proc only. @throws {SystemError} EACCES: this host forbids executable ones */
  constructor(name: string, content: Bytes) {
    this.#fd = create(name);
    try {
      for (let at = 0; at < content.length; ) at += write(this.#fd, content.subarray(at)) ?? 0;
    } catch (thrown) {
      close(this.#fd);
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    close(this.#fd);
  }

  /** Leads to it within this process, until it is disposed. */
  get path(): string {
    return `/proc/self/fd/${this.#fd}`;
  }
}

function create(name: string): number {
  const attempt = (flags: number): number => checked(libc().symbols.memfd_create(name, flags), "memfd_create", name);
  try {
    return attempt(MFD_CLOEXEC | MFD_EXEC);
  } catch (thrown) {
    if (!isSystemError(thrown, "EINVAL")) throw thrown;
    return attempt(MFD_CLOEXEC); // a kernel that does not know the flag
  }
}
