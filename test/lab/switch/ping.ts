// SPDX-License-Identifier: Apache-2.0
// ping(8) from a guest, for a moment or beside other things.
import type { Guest } from "./world.ts";

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  readonly duplicates: number;
  readonly text: string;
}

function command(from: Guest, to: string, args: readonly string[]): string[] {
  return ["ip", "netns", "exec", from.netns, "ping", "-n", ...args, to];
}
function parse(text: string): PingResult {
  const match = /(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?/.exec(text);
  return { sent: Number(match?.[1] ?? 0), received: Number(match?.[2] ?? 0), duplicates: Number(match?.[3] ?? 0), text };
}

export function ping(from: Guest, to: string, ...args: readonly string[]): PingResult {
  const all = args.length === 0 ? ["-c", "3", "-i", "0.01", "-W", "1"] : args;
  const result = Bun.spawnSync(command(from, to, all), { stdout: "pipe", stderr: "pipe", env: { ...process.env, LC_ALL: "C" } });
  return parse(`${result.stdout}${result.stderr}`);
}

/** 500 pings a second until `stop`. */
export class SteadyPing {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #text: Promise<string>;

  constructor(from: Guest, to: string) {
    this.#child = Bun.spawn(command(from, to, ["-i", "0.002"]), { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.#text = new Response(this.#child.stdout).text();
  }
  /** The one whose answer was still under way does not count. */
  async stop(): Promise<PingResult> {
    this.#child.kill("SIGINT");
    await this.#child.exited;
    const result = parse(await this.#text);
    const isLastAnswered = result.text.includes(`icmp_seq=${result.sent} `);
    return isLastAnswered ? result : { ...result, sent: result.sent - 1 };
  }
}
