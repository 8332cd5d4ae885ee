// SPDX-License-Identifier: Apache-2.0
// Files that must be on the disk, whole, before anything relies on them. Used with a rename or link to the final name.
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/** Creates a file only its owner can read, with all bytes on the disk. @throws {Error} it exists, or cannot be written */
export function writeDurably(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names made or changed in the directory are on the disk. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
