// SPDX-License-Identifier: Apache-2.0
// Writes a container's /etc/hosts through the file its runtime keeps on this host. Not through /proc/PID/root: there a container could lay a
// symbolic link to any file of the host. Written in place, because the container has this very inode mounted.
import { closeSync, constants, ftruncateSync, openSync, writeFileSync } from "node:fs";
import type { HostsFile } from "../attach/ports.ts";

export const hostsFile: HostsFile = {
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
