// SPDX-License-Identifier: Apache-2.0
// One daemon per host: a lock on a file in the runtime directory, which the kernel releases with the process, however it ends.
import { mkdirSync, openSync } from "node:fs";
import { close, tryLock } from "../../native/libc/fd.ts";
import { UserError } from "../runtime/errors.ts";

export const RUNTIME_DIRECTORY = "/run/weave";
const LOCK_FILE = `${RUNTIME_DIRECTORY}/daemon.lock`;

/** @throws {UserError} another daemon runs on this host */
export function lockHost(): Disposable {
  mkdirSync(RUNTIME_DIRECTORY, { recursive: true, mode: 0o755 });
  const fd = openSync(LOCK_FILE, "w", 0o600);
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
