// SPDX-License-Identifier: Apache-2.0
// The folder that containers have at /w: the waiter, and what it is told. It lies with the state, not below /run, because Docker starts containers after
// a boot before weave runs; and it is written anew at each start, so that containers find the waiter of this version and today's options.
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileErrorText, UserError } from "../runtime/errors.ts";

/** Multicast is not routed to the network, so it is not waited for. */
const NO_MULTICAST = "nomcast";

function folderIn(dataDir: string): string {
  return join(dataDir, "w");
}

/** Containers that wait for the network cannot start without it, nor without weave. */
export function removeWaiter(dataDir: string): void {
  rmSync(folderIn(dataDir), { recursive: true, force: true });
}

/** Returns the folder. @throws {UserError} it cannot be written */
export function installWaiter(
  dataDir: string,
  program: Uint8Array,
  { noMulticastRoute }: { readonly noMulticastRoute: boolean },
): string {
  const folder = folderIn(dataDir);
  const unfinished = join(folder, "w.unfinished");
  try {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755); // whoever a container's program runs as
    if (!isSame(join(folder, "w"), program)) {
      writeFileSync(unfinished, program, { mode: 0o755 });
      chmodSync(unfinished, 0o755);
      renameSync(unfinished, join(folder, "w")); // containers that start now see one or the other
    }
    if (noMulticastRoute) writeFileSync(join(folder, NO_MULTICAST), "", { mode: 0o644 });
    else rmSync(join(folder, NO_MULTICAST), { force: true });
    return folder;
  } catch (thrown) {
    throw new UserError(
      "unavailable",
      `cannot write '${folder}': ${fileErrorText(thrown)}`,
      "make room or choose another --data-dir",
      {
        cause: thrown,
      },
    );
  }
}

function isSame(path: string, program: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(program);
  } catch {
    return false; // not there yet
  }
}
