// SPDX-License-Identifier: Apache-2.0
// Docker's overlay driver as a row of the bench: two daemons in lab hosts with a cable, a swarm, an attachable overlay network and a
// container on each. Only where dockerd is installed. The image is one static program that waits, so nothing is downloaded.
//
//   D1 ──u3── D2
import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MOUNT_CGROUPS } from "../support/cgroups.ts";
import { must } from "../support/command.ts";
import type { Lab } from "../support/lab.ts";
import { type Host, Place } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import type { Path } from "./netbench.ts";

/** First process of a container: waits, and dies with whoever started it, so that nothing survives a bench that was killed. */
const WAITING_PROGRAM = `
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); }
`;

/** A container of Docker, entered by the pid of its first process. */
class DockerContainer extends Place {
  readonly #pid: number;
  constructor(host: Host, name: string, pid: number) {
    super(host.lab, name);
    this.#pid = pid;
  }
  get netns(): string {
    return `/proc/${this.#pid}/ns/net`;
  }
  enter(command: readonly string[]): string[] {
    return ["nsenter", "-t", `${this.#pid}`, "-n", "--", ...command];
  }
}

async function docker(host: Host, ...words: readonly string[]): Promise<string> {
  return (await host.must(["docker", ...words], { deadlineMs: 60_000 })).trim();
}

async function startDaemon(host: Host): Promise<void> {
  await host.must(["sh", "-c", MOUNT_CGROUPS]);
  // A parent of its own, so that this daemon's groups are told from others' and removed at the end.
  const daemon = host.background(
    // biome-ignore format: one option after the other
    ["dockerd", "--data-root", "/run/docker-data", "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid", "-s", "vfs",
     "--cgroup-parent", groupOf(host)],
  );
  await waitFor("dockerd to answer", async () => (await host.run(["docker", "version"])).code === 0, {
    deadlineMs: 30_000,
    everyMs: 200,
    show: () => daemon.stderr.slice(-600),
  });
}

function groupOf(host: Host): string {
  return `/wl-${process.pid}-${host.name}`;
}

async function loadImage(hosts: readonly Host[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), `wl-${process.pid}-image-`));
  try {
    writeFileSync(join(folder, "wait.c"), WAITING_PROGRAM);
    await must(["gcc", "-static", "-O2", "-o", join(folder, "wait"), join(folder, "wait.c")]);
    await must(["tar", "-C", folder, "-cf", join(folder, "image.tar"), "wait"]);
    for (const host of hosts) await docker(host, "import", join(folder, "image.tar"), "wl-wait");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startContainer(host: Host, name: string, address: string): Promise<DockerContainer> {
  await docker(host, "run", "-d", "--name", name, "--network", "wl-overlay", "--ip", address, "wl-wait", "/wait");
  return new DockerContainer(host, name, Number(await docker(host, "inspect", "-f", "{{.State.Pid}}", name)));
}

export interface DockerPath extends AsyncDisposable {
  readonly path: Path;
}

/** @throws {Error} when dockerd is not installed or the swarm does not come up */
export async function dockerOverlayPath(lab: Lab): Promise<DockerPath> {
  if (Bun.which("dockerd") === null) throw new Error("dockerd is not installed");
  const hosts = (await lab.addHosts("D1", "D2")) as [Host, Host];
  const [d1, d2] = hosts;
  await lab.wire(d1, d2, "u3");
  await d1.must(["ip", "address", "add", "10.69.0.1/24", "dev", "u3"]);
  await d2.must(["ip", "address", "add", "10.69.0.2/24", "dev", "u3"]);
  // dockerd makes its default parent group although it is told another one.
  const hadDefault = groupRoots().some((root) => existsSync(join(root, "docker")));
  const end = async () => {
    for (const host of hosts) await host.run(["sh", "-c", "docker rm -f $(docker ps -aq); kill $(cat /run/docker.pid)"]);
    await waitFor("dockerd to end", () => hosts.every((host) => host.processes().length === 0)).catch(() => undefined);
    for (const host of hosts) removeGroups(groupOf(host));
    if (!hadDefault) removeGroups("/docker");
  };
  try {
    await Promise.all(hosts.map(startDaemon));
    await loadImage(hosts);
    await docker(d1, "swarm", "init", "--advertise-addr", "10.69.0.1");
    const token = await docker(d1, "swarm", "join-token", "-q", "worker");
    await docker(d2, "swarm", "join", "--token", token, "--advertise-addr", "10.69.0.2", "10.69.0.1:2377");
    await docker(d1, "network", "create", "-d", "overlay", "--attachable", "--subnet", "10.70.0.0/24", "wl-overlay");
    const from = await startContainer(d1, "da", "10.70.0.10");
    const to = await startContainer(d2, "db", "10.70.0.11");
    return { path: { from, to, address: "10.70.0.11" }, [Symbol.asyncDispose]: end };
  } catch (thrown) {
    await end();
    throw thrown;
  }
}

function groupRoots(): string[] {
  return ["/sys/fs/cgroup", ...readdirSync("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name))];
}

/** Control groups have no namespace here; what this bench made it removes, deepest first. */
function removeGroups(group: string): void {
  for (const root of groupRoots()) removeTree(join(root, group));
}

function removeTree(folder: string): void {
  let inside: string[];
  try {
    inside = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return; // was never there
  }
  for (const name of inside) removeTree(join(folder, name));
  rmdirSync(folder);
}
