// SPDX-License-Identifier: Apache-2.0
// Writes a container's /etc/hosts through the file its runtime keeps on this host. Not through /proc/PID/root: there a container could lay a
// symbolic link to any file of the host. Written in place, because the container has this very inode mounted.
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeFileSync } from "node:fs";
import type { HostsFile } from "../attach/ports.ts";

/** What a container has written there may be of any size; nobody's hosts file is that long. */
const BYTES_MAX = 1_048_576;

export const hostsFile: HostsFile = {
  read(path) {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const buffer = Buffer.alloc(Math.min(fstatSync(fd).size, BYTES_MAX));
      return buffer.toString("utf8", 0, readSync(fd, buffer));
    } finally {
      closeSync(fd);
    }
  },
  write(path, content) {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW); // never makes a file that is not there
    try {
      ftruncateSync(fd, 0);
      writeFileSync(fd, content);
    } finally {
      closeSync(fd);
    }
  },
};
