// SPDX-License-Identifier: Apache-2.0
// What libbpf and the kernel's verifier say while they work. libbpf prints to stderr by default; here the words are kept and become part of
// the error, and are thrown away when all went well.
import { JSCallback } from "bun:ffi";
import { SystemError } from "../errno.ts";
import { type Address, allocate, readCString } from "../ffi.ts";
import { formatInto, libbpf } from "./symbols.ts";

const LEVEL_DEBUG = 2; // enum libbpf_print_level
const LINES_KEPT = 12; // the last ones tell most: the verifier's verdict stands at the end
const LINE_BYTES = 65_536;

let lines: string[] | undefined; // undefined until the callback is installed
const buffer = allocate(LINE_BYTES);
let callback: JSCallback | undefined; // libbpf keeps the pointer as long as the process lives

function print(level: number, format: Address, values: Address): number {
  if (level >= LEVEL_DEBUG || lines === undefined) return 0;
  formatInto(buffer, format, values);
  lines.push(...readCString(buffer).trim().split("\n"));
  if (lines.length > LINES_KEPT) lines = lines.slice(-LINES_KEPT);
  return 0;
}

/** Runs a call that returns -errno; a failure is thrown with libbpf's words. @throws {SystemError} */
export function checkedCall(call: string, object: string, run: () => number): number {
  const result = attemptedCall(run);
  if (result < 0) throw new SystemError(call, object, -result, (lines ?? []).join("; "));
  return result;
}

/** The same, for calls whose failure is expected: the result as it is. */
export function attemptedCall(run: () => number): number {
  if (callback === undefined) {
    callback = new JSCallback(print, { args: ["i32", "ptr", "ptr"], returns: "i32" });
    libbpf().symbols.libbpf_set_print(callback.ptr);
  }
  lines = [];
  return run();
}

/** What was said during the last call. */
export function lastMessages(): string {
  return (lines ?? []).join("; ");
}
