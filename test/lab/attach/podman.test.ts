// SPDX-License-Identifier: Apache-2.0
// Containers of a real Podman, found through its Docker-compatible socket without being told of it, with the compiled executable.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeBusyboxRoot } from "../../support/busybox.ts";
import { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { waitFor } from "../../support/wait.ts";
import { launch } from "../../support/weave.ts";

const missing = ["podman", "crun", "busybox"].filter((name) => Bun.which(name) === null);
if (missing.length > 0) console.warn(`skipped: Podman: not installed: ${missing.join(", ")}`);

describe.skipIf(missing.length > 0)("containers of Podman", () => {
  const folder = mkdtempSync(join(tmpdir(), "wl-podman-"));
  const places = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--tmpdir", join(folder, "tmp")];
  const manners = ["--storage-driver", "vfs", "--runtime", "crun", "--cgroup-manager", "cgroupfs", "--events-backend", "none"];
  let lab: Lab;
  let host: Host;
  const podman = (...words: readonly string[]): Promise<string> =>
    host.must(["podman", ...places, ...manners, ...words], { deadlineMs: 60_000 });

  beforeAll(async () => {
    lab = await Lab.with({ hosts: ["h1"], segments: [] });
    host = lab.host("h1");
    await host.must(["mkdir", "-p", "/run/podman"]);
    const rootfs = join(folder, "rootfs");
    await makeBusyboxRoot(rootfs, ["sleep", "ip"]);
    await host.must(["tar", "-C", rootfs, "-cf", join(folder, "image.tar"), "."]);
    await podman("import", join(folder, "image.tar"), "box");
    host.background(["podman", ...places, ...manners, "system", "service", "-t", "0", "unix:///run/podman/podman.sock"]);
    await waitFor(
      "Podman to answer",
      async () => (await host.run(["curl", "-sf", "--unix-socket", "/run/podman/podman.sock", "http://d/_ping"])).code === 0,
    );
    await launch(host);
  }, 60_000);
  afterAll(async () => {
    await podman("rm", "-f", "-t", "0", "--all").catch(() => undefined);
    await lab?.close();
    rmSync(folder, { recursive: true, force: true });
  }, 60_000);

  test("are attached by name and id, answer by name, and leave nothing when they end", async () => {
    const run = ["run", "-d", "--network", "none", "--ulimit", "host", "--cgroups", "disabled"];
    const id = (await podman(...run, "--name", "web", "--hostname", "shop", "box", "/bin/sleep", "600")).trim();
    expect((await host.mustWeave("attach", "10.2.1.1/24", "web")).trim()).toBe("10.2.1.1");
    expect((await host.mustWeave("attach", "10.2.1.2/24", id.slice(0, 12))).trim()).toBe("10.2.1.2");
    const addresses = await podman("exec", "web", "/bin/ip", "-4", "addr", "show", "ethwe");
    expect(addresses).toContain("10.2.1.1/24");
    expect(addresses).toContain("10.2.1.2/24");
    expect((await host.mustWeave("dns-lookup", "shop")).trim().split("\n").sort()).toEqual(["10.2.1.1", "10.2.1.2"]);
    await podman("rm", "-f", "-t", "0", "web");
    await waitFor("its name and interface to go", async () => !(await host.mustWeave("ps")).includes(id.slice(0, 12)), {
      deadlineMs: 40_000,
    });
    expect((await host.weave("dns-lookup", "shop")).stdout).toBe("");
  }, 60_000);
});
