// SPDX-License-Identifier: Apache-2.0
// The compiled waiter, embedded in the executable. `build.ts` makes the files; without them this module cannot be resolved.
import { readFileSync } from "node:fs";
import arm64Path from "../../dist/waiter/waiter-arm64.elf" with { type: "file" };
import x64Path from "../../dist/waiter/waiter-x64.elf" with { type: "file" };

/** The program for this machine, some kB. */
export function readWaiter(): Uint8Array {
  return readFileSync(process.arch === "arm64" ? arm64Path : x64Path);
}
