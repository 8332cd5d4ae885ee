// SPDX-License-Identifier: Apache-2.0
// Commands of the tests: run to the end with a deadline, or kept running. Output is always taken, so nothing ever blocks on a pipe.
import type { Subprocess } from "bun";
import { PATIENCE } from "./wait.ts";

export interface Finished {
  /** Exit code; 128 + number when a signal ended it, as a shell counts. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Killed after that long; 30 s when not said. */
  readonly deadlineMs?: number | undefined;
}

/** The marker by which leftovers of a dead run are found: every process a test starts carries it. */
export const LAB_MARKER = "WEAVE_LAB_PID";

/** Environment for children: ours, marked, without anything that would change what weave does. */
export function labEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith("WEAVE_") && name !== "DOCKER_HOST" && name !== "BUN_BE_BUN")
      environment[name] = value;
  }
  const run = process.env["WEAVE_TEST_RUN"];
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;
  return {
    ...environment,
    LC_ALL: "C",
    PATH: path,
    ...(run ? { WEAVE_TEST_RUN: run } : {}),
    [LAB_MARKER]: `${process.pid}`,
    ...more,
  };
}

/** Runs a command to its end; the exit code is the caller's to judge. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = Bun.spawn([...command], {
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: labEnvironment(options.env),
  });
  const deadlineMs = PATIENCE * (options.deadlineMs ?? 30_000);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, deadlineMs);
  // A daemon that keeps our pipes open must not keep us: what it wrote until the command ended is what counts.
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  await child.exited;
  clearTimeout(timer);
  const outputs = await Promise.all([stdout.text(), stderr.text()]);
  if (late) throw new Error(`'${command.join(" ")}' did not end within ${deadlineMs} ms\n${outputs.join("\n")}`);
  return { code: exitCode(child), stdout: outputs[0], stderr: outputs[1] };
}

/** Runs a command that must succeed; returns its stdout.
 *  @throws {Error} with all it said when it does not */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code !== 0) throw new Error(`'${command.join(" ")}' ended with ${code}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}

function exitCode(child: Subprocess): number {
  if (child.exitCode !== null && child.signalCode === null) return child.exitCode;
  const signals: Record<string, number> = { SIGINT: 2, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
  return 128 + (signals[child.signalCode ?? ""] ?? 0);
}

interface Collected {
  /** All there is; after the command's end waits at most a moment for a pipe that others hold open. */
  text(): Promise<string>;
}

function collect(stream: ReadableStream<Uint8Array>): Collected {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let text = "";
  const whole = (async () => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
    }
  })();
  const HELD_OPEN_MS = 200;
  return {
    async text() {
      await Promise.race([whole, Bun.sleep(HELD_OPEN_MS)]);
      return text;
    },
  };
}

/** A command that goes on running beside the test. */
export class Background implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Subprocess<"ignore", "pipe", "pipe">;
  #stdout = "";
  #stderr = "";
  readonly #taken: Promise<unknown>;

  constructor(command: readonly string[], options: RunOptions = {}) {
    this.#child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: labEnvironment(options.env) });
    this.pid = this.#child.pid;
    this.#taken = Promise.all([
      this.#take(this.#child.stdout, (text) => {
        this.#stdout += text;
      }),
      this.#take(this.#child.stderr, (text) => {
        this.#stderr += text;
      }),
    ]);
  }

  async #take(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
  }

  /** What it has said so far. */
  get stdout(): string {
    return this.#stdout;
  }
  get stderr(): string {
    return this.#stderr;
  }
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits for its own end. @throws {Error} when that takes longer than that */
  async ended(withinMs: number): Promise<Finished> {
    const deadlineMs = PATIENCE * withinMs;
    const late = Symbol("late");
    const first = await Promise.race([this.#child.exited, Bun.sleep(deadlineMs).then(() => late)]);
    if (first === late)
      throw new Error(`process ${this.pid} did not end within ${deadlineMs} ms: ${this.#stderr || this.#stdout}`);
    await Promise.race([this.#taken, Bun.sleep(200)]);
    return { code: exitCode(this.#child), stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Asks it to end, insists after a second. */
  async stop(name: NodeJS.Signals = "SIGTERM"): Promise<Finished> {
    if (this.running) this.#child.kill(name);
    const insist = setTimeout(() => this.#child.kill("SIGKILL"), 1_000);
    try {
      return await this.ended(3_000);
    } finally {
      clearTimeout(insist);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}
