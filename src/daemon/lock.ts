// SPDX-License-Identifier: Apache-2.0
// One daemon per host: a lock on a file in the runtime directory, which the kernel releases with the process, however it ends.
import { mkdirSync, openSync } from "node:fs";
import { close, tryLock } from "../../native/libc/fd.ts";
import { fileErrorText, UserError } from "../runtime/errors.ts";

export const RUNTIME_DIRECTORY = "/run/weave";
const LOCK_FILE = `${RUNTIME_DIRECTORY}/daemon.lock`;

/** @throws {UserError} another daemon runs on this host */
export function lockHost(): Disposable {
  const fd = openLockFile();
  if (!tryLock(fd)) {
    close(fd);
    throw new UserError(
      "conflict",
      "cannot start: another weave daemon runs on this host",
      "see 'weave status', or stop it with 'weave stop'",
    );
  }
  return { [Symbol.dispose]: () => close(fd) };
}

function openLockFile(): number {
  try {
    mkdirSync(RUNTIME_DIRECTORY, { recursive: true, mode: 0o755 });
    return openSync(LOCK_FILE, "w", 0o600);
  } catch (thrown) {
    const why = fileErrorText(thrown);
    throw new UserError(
      "unavailable",
      `cannot use '${RUNTIME_DIRECTORY}': ${why}`,
      "it holds the lock and the socket of the daemon",
      {
        cause: thrown,
      },
    );
  }
}
