// SPDX-License-Identifier: Apache-2.0
// What an examination of this host finds: one sentence for each thing looked at, and what to do about it. Three-valued, because "all is well"
// and "could not be seen" are different answers.

export type Result = "ok" | "bad" | "unknown";
/** `error`: something does not work; `warning`: it works worse than it could, or will fail some day. Of a `bad` finding. */
export type Severity = "error" | "warning";

export interface Finding {
  /** Stable, for programs: `firewall`, `ports`. Several findings may have one. */
  readonly id: string;
  readonly result: Result;
  readonly severity: Severity | null;
  readonly text: string;
  /** A command, or what else to do; empty when there is nothing to do. */
  readonly fix: string;
}

export function ok(id: string, text: string): Finding {
  return { id, result: "ok", severity: null, text, fix: "" };
}
export function bad(id: string, severity: Severity, text: string, fix: string): Finding {
  return { id, result: "bad", severity, text, fix };
}
export function unknown(id: string, text: string, fix = ""): Finding {
  return { id, result: "unknown", severity: null, text, fix };
}
