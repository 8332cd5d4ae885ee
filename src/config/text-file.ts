// SPDX-License-Identifier: Apache-2.0
// A file of settings, or none.
import { readFileSync } from "node:fs";
import { fileErrorText, UserError } from "../runtime/errors.ts";

/** undefined when there is none. @throws {UserError} it cannot be read */
export function readTextFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
    throw new UserError("unavailable", `cannot read '${path}': ${fileErrorText(thrown)}`, "run as root", { cause: thrown });
  }
}
