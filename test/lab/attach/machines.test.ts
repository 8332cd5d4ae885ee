// SPDX-License-Identifier: Apache-2.0
// Containers that no Docker knows, attached by name and id: tasks of a real containerd, and machines as systemd records them.
import { expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MOUNT_CGROUPS } from "../../support/cgroups.ts";
import { wire } from "../../support/shapes.ts";
import { waitFor } from "../../support/wait.ts";
import { launch } from "../../support/weave.ts";

const busybox = Bun.which("busybox");
const missing = ["containerd", "ctr", "runc"].filter(
  (name) => Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) === null,
);
if (missing.length > 0 || busybox === null)
  console.warn(`skipped: containerd: not installed: ${[...missing, busybox ?? "busybox"].join(", ")}`);

/** On the host, whose /run it writes to, but with control groups. */
const CONTAINERD = `${MOUNT_CGROUPS}
exec containerd --root $0/data --state /run/containerd --address /run/containerd/containerd.sock --log-level error`;

test.skipIf(missing.length > 0 || busybox === null)(
  "tasks of containerd and machines of systemd",
  async () => {
    const { lab, hosts } = await wire("full", 1);
    await using _lab = { [Symbol.asyncDispose]: () => lab.close() };
    const [host] = hosts as [(typeof hosts)[number]];
    const folder = mkdtempSync(join(tmpdir(), "wa-containerd-"));
    using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
    mkdirSync(join(folder, "root/bin"), { recursive: true });
    copyFileSync(busybox ?? "", join(folder, "root/bin/busybox"));
    symlinkSync("busybox", join(folder, "root/bin/sleep"));

    const service = host.background(["unshare", "--mount", "--propagation", "private", "sh", "-c", CONTAINERD, folder]);
    const ctr = (...words: readonly string[]) => host.run(["ctr", "--namespace", "shop", ...words]);
    await waitFor("containerd to answer", async () => (await ctr("version")).code === 0, {
      everyMs: 50,
      show: () => service.stderr,
    });
    const id = "5a1e".repeat(16);
    const started = await ctr("run", "--detach", "--rootfs", join(folder, "root"), id, "/bin/sleep", "600");
    expect([started.code, started.stderr]).toEqual([0, expect.any(String)]);
    await using _task = {
      async [Symbol.asyncDispose]() {
        await ctr("task", "kill", "-s", "KILL", id);
        await waitFor("the task to end", async () => (await ctr("task", "rm", id)).code === 0, { everyMs: 50 });
        await ctr("container", "rm", id);
        await service.stop();
      },
    };

    await launch(host, "--docker-api", "");
    const names = host.file("/var/lib/nerdctl/1935db59/names/shop");
    mkdirSync(names, { recursive: true });
    writeFileSync(join(names, "till"), id);
    for (const word of [id, id.slice(0, 12), "till", "machine:till"]) {
      expect((await host.mustWeave("attach", "10.2.1.1/24", word)).trim()).toBe("10.2.1.1");
    }
    expect(await host.mustWeave("ps")).toContain(`${id.slice(0, 12)} `);
    expect((await host.weave("attach", "10.2.1.9/24", "no-such")).code).toBe(1);

    const container = await host.container("nspawned");
    const holder = container.background(["sleep", "600"]);
    await using _holder = holder;
    mkdirSync(host.file("/run/systemd/machines"), { recursive: true });
    const record = `# This is private data. Do not parse.\nNAME=guest\nSERVICE=systemd-nspawn\nLEADER=${holder.pid}\nCLASS=container\n`;
    await waitFor(
      "the machine's namespace",
      async () => (await host.weave("attach", "10.2.1.2/24", `pid:${holder.pid}`)).code === 0,
    );
    await host.mustWeave("detach", `pid:${holder.pid}`);
    writeFileSync(host.file("/run/systemd/machines/guest"), record);
    await host.mustWeave("attach", "10.2.1.2/24", "guest");
    expect(await container.must(["ip", "addr", "show", "ethwe"])).toContain("10.2.1.2/24");
    expect((await host.mustWeave("dns-lookup", "guest.weave.local")).trim()).toBe("10.2.1.2");
    expect(await container.reaches("10.2.1.1")).toBe(true);
    expect((await host.mustWeave("detach", "guest")).trim()).toBe("10.2.1.2");
  },
  60_000,
);
