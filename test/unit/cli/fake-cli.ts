// SPDX-License-Identifier: Apache-2.0
// Runs command lines as a process would, with its streams in memory, against a fake daemon on a real socket in a directory of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHandlers } from "../../../src/api/handlers.ts";
import { startListener } from "../../../src/api/listen.ts";
import type { Cli } from "../../../src/cli/context.ts";
import { clientFrom, runCli } from "../../../src/cli/run.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { FakeBackend } from "../api/fake-backend.ts";

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One command line; `env` is all of its environment. */
export async function runLine(env: Cli["env"], ...argv: readonly string[]): Promise<Outcome> {
  const [out, err]: [string[], string[]] = [[], []];
  const cli: Cli = {
    version: "3.0.0-test",
    env,
    clock: systemClock,
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    isRoot: false,
    readSecret: async ({ confirm }) => (confirm ? "typed twice" : "typed"),
    client: () => clientFrom(env),
  };
  const code = await runCli(cli, argv);
  return { code, out: out.join(""), err: err.join("") };
}

/** A fake daemon and command lines that reach it. */
export class FakeDaemon implements AsyncDisposable {
  readonly backend = new FakeBackend();
  readonly socket: string;
  readonly #directory: string;
  #listener: AsyncDisposable | undefined;

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), "weave-faces-"));
    this.socket = join(this.#directory, "api.sock");
  }

  static async start(options: { readonly readOnly?: boolean } = {}): Promise<FakeDaemon> {
    const daemon = new FakeDaemon();
    daemon.#listener = await startListener(
      {
        handlers: createHandlers(daemon.backend),
        readOnly: options.readOnly ?? false,
        log: silentLog,
        requests: new Counters().family("weave_api_requests_total", "", "outcome"),
      },
      { kind: "unix", path: daemon.socket },
    );
    return daemon;
  }

  run(...argv: readonly string[]): Promise<Outcome> {
    return runLine({ WEAVE_HTTP_ADDR: this.socket }, ...argv);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
