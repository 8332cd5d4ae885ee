// SPDX-License-Identifier: Apache-2.0
// Two hosts with the package and Docker, connected, for the tests of one file; without root or the root file system the file is skipped and says why.
import { afterAll, beforeAll, describe, test } from "bun:test";
import { waitFor } from "../support/wait.ts";
import { type Machine, Machines, whyNoHosts } from "./machine.ts";

export class DockerHosts {
  #machines: Machines | undefined;

  get all(): readonly [Machine, Machine] {
    return this.#machines?.all as unknown as [Machine, Machine]; // two are booted before any test runs
  }
  async boot(): Promise<void> {
    this.#machines = await Machines.bootWithDocker("h1", "h2");
  }
  async remove(): Promise<void> {
    await this.#machines?.[Symbol.asyncDispose]();
  }

  async until(what: string, machine: Machine, line: string, deadlineMs = 30_000): Promise<void> {
    const condition = async () => (await machine.run(line)).code === 0;
    await waitFor(what, condition, { deadlineMs, everyMs: 100, show: () => logOf(machine) });
  }
}

export async function logOf(machine: Machine): Promise<string> {
  const line =
    "journalctl -u weave -o cat | tail -20; journalctl -u docker -o cat | grep -iE 'failed to start|restart' | tail -10; weave status";
  return (await machine.run(line)).stdout;
}

export function withDockerHosts(title: string, tests: (hosts: DockerHosts) => void): void {
  const why = whyNoHosts("docker");
  if (why !== undefined) {
    test.skip(`hosts with Docker (${why})`, () => undefined);
    return;
  }
  describe(title, () => {
    const hosts = new DockerHosts();
    beforeAll(() => hosts.boot(), 180_000);
    afterAll(() => hosts.remove(), 60_000);
    tests(hosts);
  });
}
