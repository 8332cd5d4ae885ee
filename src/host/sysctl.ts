// SPDX-License-Identifier: Apache-2.0
// Kernel settings under /proc/sys. Those below `net/` belong to the namespace of the calling thread, so everything here is synchronous. They are
// read into a small buffer: the kernel clears as many bytes as it is asked for, and a whole file's worth takes longer than all the rest.
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { enterNetns, type Netns } from "./netns.ts";

const ROOT = "/proc/sys";
/** Room for any of the settings read here, which are numbers. */
const buffer = Buffer.alloc(64);

/** `path` is below /proc/sys, e.g. `net/ipv6/conf/weave/accept_ra`; without the newline. undefined: this kernel has no such setting. */
export function readSysctl(path: string, netns?: Netns): string | undefined {
  using _inside = netns && enterNetns(netns);
  return read(path);
}

/** Writes the setting when it is different, and tells whether it was. undefined: this kernel has no such setting. @throws what the file
 *  system throws, e.g. EROFS in an unprivileged container */
export function ensureSysctl(path: string, value: string | number, netns?: Netns): boolean | undefined {
  using _inside = netns && enterNetns(netns);
  const now = read(path);
  if (now === undefined || now === String(value)) return now === undefined ? undefined : false;
  writeFileSync(`${ROOT}/${path}`, String(value));
  return true;
}

function read(path: string): string | undefined {
  using held = new HeldSysctl(path);
  return held.read();
}

/** A setting that is read again and again: its file stays open, which saves most of the work. */
export class HeldSysctl implements Disposable {
  readonly #path: string;
  #fd: number | undefined;

  /** Opened at the first reading, in the namespace the thread is in then. */
  constructor(path: string) {
    this.#path = path;
  }
  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** As `readSysctl`. A setting whose link is made anew is another one, and found again. */
  read(): string | undefined {
    return this.#readHeld() ?? this.#readNew();
  }
  #readHeld(): string | undefined {
    if (this.#fd === undefined) return undefined;
    const fd = this.#fd;
    const value = unlessMissing(() => buffer.toString("latin1", 0, readSync(fd, buffer, 0, buffer.length, 0)).trim());
    if (value === undefined) this[Symbol.dispose]();
    return value;
  }
  #readNew(): string | undefined {
    this.#fd = unlessMissing(() => openSync(`${ROOT}/${this.#path}`, "r"));
    return this.#readHeld();
  }
}

function unlessMissing<Result>(act: () => Result): Result | undefined {
  try {
    return act();
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
    throw thrown;
  }
}
