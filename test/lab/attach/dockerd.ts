// SPDX-License-Identifier: Apache-2.0
// A Docker daemon of the tests' own: what it writes is in one temporary folder, its mounts and network settings are in namespaces of its own. Its image
// is made of busybox.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busybox, makeBusyboxRoot } from "../../support/busybox.ts";
import { Background, must, run } from "../../support/command.ts";
import { waitFor } from "../../support/wait.ts";

export const IMAGE = "weave-test-busybox";

/** Why no Docker daemon can run here; undefined: it can. */
export function dockerMissing(): string | undefined {
  const missing = ["dockerd", "docker", "runc", "containerd"].filter((name) => Bun.which(name, { PATH: PATHS }) === null);
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  if (busybox() === undefined) return "not installed: busybox";
  return process.getuid?.() === 0 ? undefined : "not root";
}

/** What it writes outside its folder is gone with its mount namespace. */
const PRIVATE_FILES =
  "mount -t tmpfs none /run && mkdir /run/up /run/work && mount -t overlay none -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc";

const PATHS = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/local/bin`;

/** Commands in the image. */
const TOOLS = [
  "sh",
  "sleep",
  "cat",
  "ip",
  "ping",
  "hostname",
  "nslookup",
  "id",
  "ls",
  "touch",
  "true",
  "wc",
  "stty",
  "yes",
  "head",
];

export class DockerDaemon implements AsyncDisposable {
  readonly folder: string;
  readonly socket: string;
  readonly #netns: string | undefined;
  #daemon: Background | undefined;

  private constructor(netns: string | undefined) {
    this.#netns = netns;
    this.folder = mkdtempSync(join(tmpdir(), "wa-docker-"));
    this.socket = join(this.folder, "docker.sock");
  }

  /** Starts it and makes the image. In the network namespace of a lab host it has its bridge there, otherwise none.
   *  @throws {Error} with the daemon's log when it does not come up */
  static async start({ netns }: { readonly netns?: string } = {}): Promise<DockerDaemon> {
    const docker = new DockerDaemon(netns);
    try {
      await docker.up();
      await docker.#makeImage();
      return docker;
    } catch (thrown) {
      await docker[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** `flags`: further ones of dockerd. */
  async up(...flags: readonly string[]): Promise<void> {
    const at = (name: string): string => join(this.folder, name);
    const daemon = new Background([
      ...["env", `TMPDIR=${this.folder}`], // where containerd writes its stacks when dockerd finds it slow
      ...(this.#netns === undefined ? ["unshare", "--net"] : ["nsenter", `--net=${this.#netns}`]),
      ...["unshare", "--mount", "--propagation", "private", "sh", "-c", `${PRIVATE_FILES} && exec dockerd "$@"`, "dockerd"],
      ...["--host", `unix://${this.socket}`, "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid")],
      ...(this.#netns === undefined ? ["--bridge=none"] : []),
      ...["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--storage-driver=vfs"],
      "--log-level=warn",
      ...flags,
    ]);
    this.#daemon = daemon;
    await waitFor("dockerd answers", () => run([...this.command, "version"]).then((result) => result.code === 0), {
      deadlineMs: 30_000,
      everyMs: 100,
      show: () => daemon.stderr.slice(-2000),
    });
  }
  /** Ends it and its containers. */
  async down(): Promise<void> {
    const daemon = this.#daemon;
    if (!daemon) return;
    const ids = (await run([...this.command, "ps", "-aq"])).stdout.split("\n").filter((id) => id !== "");
    if (ids.length > 0) await run([...this.command, "rm", "-f", ...ids]); // by itself dockerd gives each of them ten seconds
    daemon.signal("SIGTERM");
    await waitFor("dockerd ends", () => !daemon.running, { deadlineMs: 20_000 });
    await daemon[Symbol.asyncDispose]();
    this.#daemon = undefined;
  }

  get command(): readonly string[] {
    return ["docker", "--host", `unix://${this.socket}`];
  }
  docker(...command: readonly string[]): Promise<string> {
    return must([...this.command, ...command]).then((text) => text.trim());
  }
  /** A container that sleeps; its full id. */
  runSleeper(name: string, ...options: readonly string[]): Promise<string> {
    return this.docker(
      "run",
      "-d",
      "--stop-timeout=0",
      "--name",
      name,
      "--network",
      "none",
      ...options,
      IMAGE,
      "/bin/sleep",
      "600",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    for (const mount of await this.#mounts()) await run(["umount", "-l", mount]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #mounts(): Promise<string[]> {
    const table = await Bun.file("/proc/self/mounts").text();
    return table
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(this.folder))
      .reverse();
  }

  async #makeImage(): Promise<void> {
    const root = join(this.folder, "root");
    await makeBusyboxRoot(root, TOOLS);
    await must(["sh", "-c", `tar -C ${root} -c . | ${this.command.join(" ")} import - ${IMAGE}`]);
  }
}
