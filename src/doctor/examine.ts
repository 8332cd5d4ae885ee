// SPDX-License-Identifier: Apache-2.0
// Runs every check, whatever becomes of the others: one that fails or hangs is a finding too.
import type { StatusModel } from "../api/status.ts";
import type { DaemonConfig } from "../config/load.ts";
import type { Links } from "../host/links.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import { type Finding, unknown } from "./finding.ts";

/** How the daemon was found. */
export type Daemon =
  | { readonly state: "running"; readonly status: StatusModel }
  /** `silent`: something holds the socket and does not answer. */
  | { readonly state: "absent" | "denied" | "silent" };

/** What the checks look at, beside the machine itself. */
export interface Patient {
  /** Of this executable. */
  readonly version: string;
  readonly daemon: Daemon;
  /** What the daemon has, or would be started with; the defaults when that cannot be read. */
  readonly config: DaemonConfig;
  /** Why the configuration cannot be used, with its hint; undefined: it can. */
  readonly misconfigured: { readonly message: string; readonly hint: string } | undefined;
  readonly links: Links;
  readonly clock: Clock;
  /** Addresses the host has on the network, as `ps` shows them; undefined: not known. */
  readonly exposed: readonly string[] | undefined;
}

export interface Check {
  readonly id: string;
  look(patient: Patient): readonly Finding[] | Promise<readonly Finding[]>;
}

/** One check may take that long, and all of them run side by side. */
const LOOK_LIMIT_MS = 10_000;
const ORDER = { bad: 0, unknown: 1, ok: 2 } as const;

/** The worst first, otherwise in the order of the checks. */
export async function examine(patient: Patient, checks: readonly Check[]): Promise<readonly Finding[]> {
  const found = await Promise.all(checks.map((check) => inTime(patient, check)));
  const rank = ({ result, severity }: Finding): number => 2 * ORDER[result] + (severity === "warning" ? 1 : 0);
  return found.flat().sort((a, b) => rank(a) - rank(b));
}

async function inTime(patient: Patient, check: Check): Promise<readonly Finding[]> {
  const late = Promise.withResolvers<readonly Finding[]>();
  using _ = patient.clock.after(LOOK_LIMIT_MS, () => late.resolve([unknown(check.id, "looking took too long")]));
  return await Promise.race([look(patient, check), late.promise]);
}

async function look(patient: Patient, check: Check): Promise<readonly Finding[]> {
  try {
    return await check.look(patient);
  } catch (thrown) {
    if (thrown instanceof InvariantError) throw thrown;
    return [unknown(check.id, `cannot look: ${errorText(thrown)}`, "run it as root")];
  }
}

/** The network is at fault, or will be. */
export function isHealthy(findings: readonly Finding[]): boolean {
  return findings.every(({ result }) => result !== "bad");
}
