// SPDX-License-Identifier: Apache-2.0
// Containers of other engines than Docker, with the compiled executable: containerd's own, by what `ctr` calls them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBusyboxRoot } from "../../support/busybox.ts";
import { Background, must, run } from "../../support/command.ts";
import { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { waitFor } from "../../support/wait.ts";
import { launch } from "../../support/weave.ts";

const missing = ["containerd", "ctr", "runc", "busybox"].filter((name) => Bun.which(name) === null);
if (missing.length > 0) console.warn(`skipped: containerd: not installed: ${missing.join(", ")}`);

/** containerd with all it writes in one folder, which a host of the lab sees where it looks for it. */
class ContainerEngine implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "wl-containerd-"));
  #daemon: Background | undefined;

  async start(): Promise<void> {
    const at = (name: string): string => join(this.folder, name);
    await makeBusyboxRoot(at("rootfs"), ["sleep", "ip", "ping"]);
    const places = ["--root", at("root"), "--state", at("state"), "--address", at("socket")];
    const daemon = new Background([
      "unshare",
      "--mount",
      "--propagation",
      "private",
      "containerd",
      ...places,
      "--log-level",
      "warn",
    ]);
    this.#daemon = daemon;
    await waitFor("containerd to answer", async () => (await this.#ctr("version")).code === 0, {
      show: () => daemon.stderr.slice(-2_000),
    });
  }
  async run(namespace: string, id: string): Promise<void> {
    await must([
      ...this.#command,
      "-n",
      namespace,
      "run",
      "-d",
      "--rootfs",
      join(this.folder, "rootfs"),
      id,
      "/bin/sleep",
      "600",
    ]);
  }
  async end(namespace: string, id: string): Promise<void> {
    const tasks = (await this.#ctr("-n", namespace, "task", "ls", "-q")).stdout.split("\n");
    if (!tasks.includes(id)) return; // ended before
    await this.#ctr("-n", namespace, "task", "kill", "-s", "KILL", id);
    await waitFor(`${id} to end`, async () => (await this.#ctr("-n", namespace, "task", "rm", id)).code === 0);
    await must([...this.#command, "-n", namespace, "container", "rm", id]);
  }
  async inside(namespace: string, id: string, ...command: readonly string[]): Promise<string> {
    return await must([...this.#command, "-n", namespace, "task", "exec", "--exec-id", crypto.randomUUID(), id, ...command]);
  }

  get #command(): readonly string[] {
    return ["ctr", "-a", join(this.folder, "socket")];
  }
  async #ctr(...words: readonly string[]) {
    return await run([...this.#command, ...words]);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe.skipIf(missing.length > 0)("containers of containerd", () => {
  const engine = new ContainerEngine();
  let lab: Lab;
  let host: Host;
  beforeAll(async () => {
    await engine.start();
    lab = await Lab.with({ hosts: ["h1"], segments: [] });
    host = lab.host("h1");
    await host.must(["sh", "-c", `mkdir -p /run/containerd && mount --bind ${engine.folder}/state /run/containerd`]);
    await launch(host);
    await engine.run("default", "web");
    await engine.run("k8s.io", "4f1c0ffee0");
  }, 60_000);
  afterAll(async () => {
    await engine.end("default", "web");
    await engine.end("k8s.io", "4f1c0ffee0");
    await lab?.close();
    await engine[Symbol.asyncDispose]();
  }, 60_000);

  test("are attached by id, by its beginning and by kind, and get an address and a name", async () => {
    const first = (await host.mustWeave("attach", "10.2.1.1/24", "web")).trim();
    const second = (await host.mustWeave("attach", "10.2.1.2/24", "containerd:4f1c")).trim();
    expect([first, second]).toEqual(["10.2.1.1", "10.2.1.2"]);
    expect(await engine.inside("default", "web", "/bin/ip", "-4", "addr", "show", "ethwe")).toContain("10.2.1.1/24");
    expect(await engine.inside("default", "web", "/bin/ping", "-c1", "-W2", "10.2.1.2")).toContain("1 packets received");
    expect((await host.mustWeave("dns-lookup", "web")).trim()).toBe("10.2.1.1");
    expect(await host.mustWeave("ps")).toContain("containerd:default/web");
  }, 30_000);

  test("of one name in two namespaces are told apart", async () => {
    await engine.run("k8s.io", "web");
    const { code, stderr } = await host.weave("attach", "web");
    await engine.end("k8s.io", "web");
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("default/web, k8s.io/web; write for example containerd:default/web"),
    ]);
  }, 30_000);

  test("that end leave nothing", async () => {
    await engine.end("default", "web");
    await waitFor(
      "its name and interface to go",
      async () => {
        const { stdout } = await host.weave("ps");
        return !stdout.includes("containerd:default/web") && (await host.weave("dns-lookup", "web")).stdout.trim() === "";
      },
      { deadlineMs: 70_000 },
    );
  }, 90_000);
});
