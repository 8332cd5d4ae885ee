// SPDX-License-Identifier: Apache-2.0
// A lab host with a Docker daemon, its bridge and weave's proxy before it: what a user's machine is.
import { join } from "node:path";
import type { PsEntry } from "../../../src/api/status.ts";
import { type Finished, must, type RunOptions, run } from "../../support/command.ts";
import type { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { launch, statusOf } from "../../support/weave.ts";
import { DockerDaemon, IMAGE } from "../attach/dockerd.ts";

export class ProxyWorld implements AsyncDisposable {
  readonly lab: Lab;
  readonly host: Host;
  readonly engine: DockerDaemon;

  private constructor(lab: Lab, host: Host, engine: DockerDaemon) {
    this.lab = lab;
    this.host = host;
    this.engine = engine;
  }
  static async start(...flags: readonly string[]): Promise<ProxyWorld> {
    const { lab, hosts } = await wire("full", 1);
    const [host] = hosts as [Host];
    try {
      const world = new ProxyWorld(lab, host, await DockerDaemon.start({ netns: host.netns }));
      await world.launch(...flags);
      return world;
    } catch (thrown) {
      await lab.close();
      throw thrown;
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine[Symbol.asyncDispose]();
    await this.lab.close();
  }

  /** State lies where the Docker daemon sees it too: containers get the waiter from there. */
  async launch(...flags: readonly string[]): Promise<void> {
    const where = ["--data-dir", join(this.engine.folder, "weave"), "--docker-api", `unix://${this.engine.socket}`];
    await launch(this.host, ...where, ...flags);
  }

  get socket(): string {
    return this.host.file("/run/weave/weave.sock");
  }
  get command(): readonly string[] {
    return ["docker", "--host", `unix://${this.socket}`];
  }
  /** Through the proxy, whatever the exit code. */
  docker(...words: readonly string[]): Promise<Finished> {
    return run([...this.command, ...words]);
  }
  /** Through the proxy; it must succeed. */
  async must(words: readonly string[], options: RunOptions = {}): Promise<string> {
    return (await must([...this.command, ...words], options)).trim();
  }
  /** A container that sleeps; its id. */
  sleeper(name: string, ...options: readonly string[]): Promise<string> {
    return this.must(["run", "-d", "--stop-timeout=0", "--name", name, ...options, IMAGE, "/bin/sleep", "600"]);
  }
  /** Runs a shell script in a container of its own to its end. */
  script(text: string, ...options: readonly string[]): Promise<string> {
    return this.must(["run", "--rm", ...options, IMAGE, "sh", "-c", text]);
  }

  /** What is attached: addresses by container id. */
  async attached(): Promise<Map<string, readonly string[]>> {
    const { entries } = JSON.parse(await this.host.mustWeave("ps", "--json")) as { entries: readonly PsEntry[] };
    return new Map(entries.map(({ id, addresses }) => [id, addresses]));
  }
  /** Everything of containers that weave holds. */
  async holdings(): Promise<{ attached: number; links: number; leases: number; names: number }> {
    const links = JSON.parse(await this.host.must(["ip", "-j", "link"])) as readonly { ifname: string }[];
    const { dns, ipam } = await statusOf(this.host);
    return {
      attached: (await this.attached()).size,
      links: links.filter(({ ifname }) => ifname.startsWith("vethwepl")).length,
      leases: ipam?.active ?? -1,
      names: dns?.ownEntries ?? -1,
    };
  }
}

export const NOTHING = { attached: 0, links: 0, leases: 0, names: 0 };
