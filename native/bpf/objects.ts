// SPDX-License-Identifier: Apache-2.0
// The compiled switch, embedded in the executable. `build.ts` makes the files; without them this module cannot be resolved.
import { readFileSync } from "node:fs";
import fullPath from "../../dist/bpf/switch.o" with { type: "file" };
import smallPath from "../../dist/bpf/switch-small.o" with { type: "file" };

export type ObjectKind = "full" | "small";

/** The bytes of one object, about 100 kB. */
export function readObject(kind: ObjectKind): Uint8Array {
  return readFileSync(kind === "full" ? fullPath : smallPath);
}
