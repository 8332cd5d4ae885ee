// SPDX-License-Identifier: Apache-2.0
// Commands that work on the host itself need root; said before anything is done.
import { UserError } from "../runtime/errors.ts";
import type { Cli } from "./context.ts";

/** @throws {UserError} forbidden */
export function requireRoot(cli: Cli, what: string): void {
  if (!cli.isRoot) throw new UserError("forbidden", `${what} needs root`, "run it with sudo");
}

/** @throws {UserError} forbidden: which capabilities the daemon would lack */
export async function requireDaemonPrivileges(cli: Cli): Promise<void> {
  requireRoot(cli, "starting weave");
  const { missingPrivileges } = await import("../host/process.ts");
  const missing = missingPrivileges();
  if (missing.length === 0) return;
  throw new UserError(
    "forbidden",
    `cannot run weave here: root lacks ${missing.join(", ")}`,
    "run it on the host itself, or in a privileged container",
  );
}
