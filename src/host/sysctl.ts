// SPDX-License-Identifier: Apache-2.0
// Kernel settings under /proc/sys. Those below `net/` belong to the namespace of the calling thread, so everything here is synchronous.
import { readFileSync, writeFileSync } from "node:fs";
import { enterNetns, type Netns } from "./netns.ts";

const ROOT = "/proc/sys";

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
  try {
    return readFileSync(`${ROOT}/${path}`, "utf8").trim();
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
    throw thrown;
  }
}
