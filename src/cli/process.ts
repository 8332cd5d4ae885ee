// SPDX-License-Identifier: Apache-2.0
// The command line in a real process: its streams, environment and exit code.
import { writeSync } from "node:fs";
import { systemClock } from "../runtime/clock.ts";
import type { Cli } from "./context.ts";
import { clientFrom, runCli } from "./run.ts";
import { secretFromStdin } from "./secret.ts";

/** Runs one command line and ends the process with its exit code. */
export async function runProcess(argv: readonly string[], version: string): Promise<never> {
  const results: string[] = [];
  const cli: Cli = {
    version,
    env: process.env,
    clock: systemClock,
    out: (text) => void results.push(text),
    err: writeError,
    isRoot: process.geteuid?.() === 0,
    readSecret: (options) => secretFromStdin({ ...options, say: writeError }),
    client: () => clientFrom(process.env),
  };
  const code = await runCli(cli, argv);
  process.exit((await writeResult(results.join(""))) ? code : 1);
}

/** False: the results could not be written. */
async function writeResult(text: string): Promise<boolean> {
  try {
    if (text !== "") await Bun.write(Bun.stdout, text);
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "EPIPE") return true; // `weave report | head`
    writeError(`weave: cannot write to stdout: ${thrown instanceof Error ? thrown.message : thrown}\n`);
    return false;
  }
}

function writeError(text: string): void {
  try {
    writeSync(2, text);
  } catch {
    // Nobody reads stderr; the exit code tells.
  }
}
