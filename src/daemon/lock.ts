// SPDX-License-Identifier: Apache-2.0
// One daemon, and one launch, per host: locks on files in the runtime directory, which the kernel releases with the process, however it ends.
import { chmodSync, mkdirSync, openSync } from "node:fs";
import { close, tryLock } from "../../native/libc/fd.ts";
import { fileErrorText, UserError } from "../runtime/errors.ts";

export const RUNTIME_DIRECTORY = "/run/weave";

/** A daemon that was just killed holds its lock until the kernel has taken it apart. */
const ENDING_TRIES = 50;
const ENDING_TRY_MS = 20;

/** Waits up to a second; nothing else runs in this process yet.
 *  @param cannot what cannot be done otherwise: `cannot start`  @throws {UserError} another daemon runs on this host */
export function lockHost(cannot: string): Disposable {
  for (let tries = 0; tries < ENDING_TRIES; tries++) {
    const lock = lockFile("daemon.lock");
    if (lock !== undefined) return lock;
    Bun.sleepSync(ENDING_TRY_MS);
  }
  const hint = "see 'weave status', or stop it with 'weave stop'";
  throw new UserError("conflict", `${cannot}: another weave daemon runs on this host`, hint);
}

/** Held while a daemon is chosen its options and started. undefined: somebody else does that now. @throws {UserError} */
export function lockLaunch(): Disposable | undefined {
  return lockFile("launch.lock");
}

function lockFile(name: string): Disposable | undefined {
  const fd = openLockFile(`${RUNTIME_DIRECTORY}/${name}`);
  if (tryLock(fd)) return { [Symbol.dispose]: () => close(fd) };
  close(fd);
  return undefined;
}

function openLockFile(path: string): number {
  try {
    mkdirSync(RUNTIME_DIRECTORY, { recursive: true });
    chmodSync(RUNTIME_DIRECTORY, 0o755); // whatever the umask: members of the group get to the socket
    return openSync(path, "w", 0o600);
  } catch (thrown) {
    const why = fileErrorText(thrown);
    throw new UserError(
      "unavailable",
      `cannot use '${RUNTIME_DIRECTORY}': ${why}`,
      "it holds the locks and the socket of the daemon",
      {
        cause: thrown,
      },
    );
  }
}
