// SPDX-License-Identifier: Apache-2.0
// The C traffic program of the benches: compiled once a run, started in places of the lab, its answers parsed.
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Background } from "../support/command.ts";
import { must } from "../support/command.ts";
import type { Place } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";

const SOURCE = new URL("./netbench.c", import.meta.url).pathname;
/** Ports of a place's two sinks: one that stays on its processor, one that the kernel may move. */
const PINNED_PORT = 7_700;
const FREE_PORT = 7_701;

/** What is measured on one path. */
export interface Path {
  readonly from: Place;
  readonly to: Place;
  /** IPv4 address of `to` on this path. */
  readonly address: string;
}

export interface Ping {
  readonly medianUs: number;
  readonly p99Us: number;
}

/** With one stream sender and receiver sit on a processor each, so that runs differ less; not where there is only one. Several
 *  streams may use all there are, as they would in earnest. */
const SPREAD = availableParallelism() > 1;
const ANY_CPU = "-1";
const SOURCE_CPU = SPREAD ? "0" : ANY_CPU;
const SINK_CPU = SPREAD ? "1" : ANY_CPU;

export class Netbench implements Disposable {
  readonly #directory: string;
  readonly #program: string;
  readonly #sinks = new Map<Place, readonly Background[]>();

  private constructor(directory: string) {
    this.#directory = directory;
    this.#program = join(directory, "netbench");
  }

  static async compile(): Promise<Netbench> {
    const bench = new Netbench(mkdtempSync(join(tmpdir(), `wl-${process.pid}-`)));
    await must(["gcc", "-O2", "-pthread", "-o", bench.#program, SOURCE]);
    return bench;
  }

  /** Two running sinks in the place; started once. */
  async #sink(place: Place): Promise<void> {
    if (this.#sinks.has(place)) return;
    const sinks = [
      place.background([this.#program, "sink", SINK_CPU, `${PINNED_PORT}`]),
      place.background([this.#program, "sink", ANY_CPU, `${FREE_PORT}`]),
    ];
    this.#sinks.set(place, sinks);
    for (const sink of sinks) {
      await waitFor(`a sink in ${place.name}`, () => sink.stdout.includes("ready"), { show: () => sink.stderr });
    }
  }

  async #ask(path: Path, cpu: string, words: readonly string[], deadlineMs: number): Promise<Record<string, number>> {
    const [mode = "", ...rest] = words;
    const answer = await path.from.must([this.#program, mode, cpu, path.address, ...rest], { deadlineMs });
    return JSON.parse(answer) as Record<string, number>;
  }

  /** Gbit/s of TCP payload that arrived. */
  async tcp(path: Path, streams: number, durationMs: number): Promise<number> {
    await this.#sink(path.to);
    const [cpu, port] = streams === 1 ? [SOURCE_CPU, PINNED_PORT] : [ANY_CPU, FREE_PORT];
    return (await this.#ask(path, cpu, ["tcp", `${port}`, `${streams}`, `${durationMs}`], durationMs + 20_000))["gbits"] ?? 0;
  }

  /** Gbit/s of UDP payload and packets per second that arrived, of datagrams of this size. */
  async udp(path: Path, payloadBytes: number, durationMs: number): Promise<{ readonly gbits: number; readonly pps: number }> {
    await this.#sink(path.to);
    const told = await this.#ask(
      path,
      SOURCE_CPU,
      ["udp", `${PINNED_PORT}`, `${payloadBytes}`, `${durationMs}`],
      durationMs + 20_000,
    );
    return { gbits: told["gbits"] ?? 0, pps: told["pps"] ?? 0 };
  }

  /** Back-to-back round trips. */
  async ping(path: Path, count: number): Promise<Ping> {
    const told = await this.#ask(path, SOURCE_CPU, ["ping", `${count}`], 30_000);
    return { medianUs: told["median"] ?? 0, p99Us: told["p99"] ?? 0 };
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
