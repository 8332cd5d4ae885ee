// SPDX-License-Identifier: Apache-2.0
// Podman's Docker-compatible socket behind the proxy, with Docker's own client.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBusyboxRoot } from "../../support/busybox.ts";
import { must, run } from "../../support/command.ts";
import { kill } from "../../support/processes.ts";
import { wire } from "../../support/shapes.ts";
import { waitFor } from "../../support/wait.ts";
import { launch } from "../../support/weave.ts";

const missing = ["podman", "runc", "docker", "busybox"].filter(
  (name) => Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) === null,
);
if (missing.length > 0) console.warn(`skipped: Podman: not installed: ${missing.join(", ")}`);

/** What it writes outside its folder is gone with its mount namespace. Machines whose control groups are of both versions need runc. */
const SERVICE = `mount -t tmpfs none /run && mkdir /run/up /run/work && mount -t overlay none -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc &&
exec podman --root $0/root --runroot $0/run --tmpdir $0/tmp --storage-driver vfs --cgroup-manager cgroupfs --runtime runc --events-backend file \\
  system service -t 0 unix://$0/podman.sock`;

test.skipIf(missing.length > 0)(
  "a container of Podman waits for the network, at its restart too, and leaves nothing",
  async () => {
    const { lab, hosts } = await wire("full", 1);
    await using _lab = { [Symbol.asyncDispose]: () => lab.close() };
    const [host] = hosts as [(typeof hosts)[number]];
    const folder = mkdtempSync(join(tmpdir(), "wa-podman-"));
    await using _folder = {
      // Each exec leaves a helper that stays a while for who asks how it ended.
      async [Symbol.asyncDispose]() {
        for (const pid of (await run(["pgrep", "-f", `conmon .*${folder}/`])).stdout.split("\n").filter(Boolean))
          kill(Number(pid), "SIGKILL");
        rmSync(folder, { recursive: true, force: true });
      },
    };
    const image = join(folder, "image");
    await makeBusyboxRoot(image, ["sh", "sleep", "cat", "ip"]);
    writeFileSync(
      join(folder, "containers.conf"),
      '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n[engine]\nexit_command_delay = 2\n',
    );

    const command = [
      "nsenter",
      `--net=${host.netns}`,
      "unshare",
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      SERVICE,
      folder,
    ];
    await using service = lab.background([
      "env",
      `TMPDIR=${folder}`,
      `CONTAINERS_CONF=${join(folder, "containers.conf")}`,
      ...command,
    ]);
    const direct = ["docker", "--host", `unix://${folder}/podman.sock`];
    await using _web = { [Symbol.asyncDispose]: async () => void (await run([...direct, "rm", "-f", "web"])) };
    await waitFor("podman to answer", async () => (await run([...direct, "version"])).code === 0, {
      everyMs: 100,
      show: () => service.stderr,
    });
    await must(["sh", "-c", `tar -C ${image} -c . | ${direct.join(" ")} import - weave-test`]);
    await launch(
      host,
      "--data-dir",
      join(folder, "weave"),
      "--docker-api",
      `unix://${folder}/podman.sock`,
      "--ipalloc-range",
      "10.40.0.0/16",
    );

    const podman = (...words: readonly string[]): Promise<string> =>
      must(["docker", "--host", `unix://${host.file("/run/weave/weave.sock")}`, ...words]);
    await podman(
      "run",
      "-d",
      "--name",
      "web",
      "--network",
      "none",
      "weave-test",
      "sh",
      "-c",
      "ip addr show ethwe >/first; exec sleep 600",
    );
    const first = await podman("exec", "web", "cat", "/first");
    const address = /inet (10\.40\.\d+\.\d+)\/16/.exec(first)?.[1] ?? "?";
    expect(first).toMatch(/ethwe.*UP/);
    expect(await podman("exec", "web", "cat", "/etc/hosts")).toContain(address);
    expect((await host.mustWeave("dns-lookup", "web.weave.local")).trim()).toBe(address);
    await podman("restart", "-t", "0", "web");
    expect(await podman("exec", "web", "cat", "/first")).toContain(address);
    const refused = await run([
      "docker",
      "--host",
      `unix://${host.file("/run/weave/weave.sock")}`,
      "create",
      "-e",
      "WEAVE_CIDR=x",
      "weave-test",
      "sh",
    ]);
    expect(refused.stderr).toContain("'x' is not an address");
    await podman("rm", "-f", "web");
    await waitFor("it to be gone", async () => (await host.mustWeave("ps")) === "", { deadlineMs: 60_000, everyMs: 100 });
  },
  120_000,
);
