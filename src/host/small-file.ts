// SPDX-License-Identifier: Apache-2.0
// Reading other programs' small state files, which come and go.
import { readFileSync, statSync } from "node:fs";

const LIMIT_BYTES = 1_048_576;

/** undefined: there is none, it cannot be read, or it is no file of at most 1 MiB. */
export function readIfThere(path: string): string | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() && stat.size <= LIMIT_BYTES ? readFileSync(path, "utf8") : undefined;
  } catch {
    return undefined;
  }
}
