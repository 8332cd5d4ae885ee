// SPDX-License-Identifier: Apache-2.0
// What a command gets from the process it runs in: streams, environment, the daemon's client. Results go to stdout, talk to stderr.
import type { ApiClient } from "../api/client.ts";
import type { Environment } from "../config/load.ts";
import type { Clock } from "../runtime/clock.ts";

export interface Cli {
  readonly version: string;
  readonly env: Environment;
  readonly clock: Clock;
  /** A result; kept until the command ends, then written as one. */
  out(text: string): void;
  /** Talk: warnings, progress, errors. Written at once. */
  err(text: string): void;
  /** Effective user is root. */
  readonly isRoot: boolean;
  /** From standard input; typed at a terminal it is not shown, and asked for twice with `confirm`. @throws {UserError} there is none */
  readSecret(options: { readonly confirm: boolean }): Promise<string>;
  /** The daemon this command talks to. @throws {UserError} WEAVE_HTTP_ADDR cannot be read */
  client(): ApiClient;
}

/** Exit codes that scripts of Weave Net users test for. */
export const EXIT = {
  done: 0,
  failed: 1,
  alreadyRunning: 3,
  missingFeature: 4,
  unreachable: 7,
  badDaemonFlag: 125,
} as const;

/** A result in JSON, versioned by the value itself or wrapped. */
export function outJson(cli: Cli, value: object): void {
  cli.out(`${JSON.stringify({ apiVersion: 1, ...value }, undefined, 2)}\n`);
}
