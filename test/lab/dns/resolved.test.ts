// SPDX-License-Identifier: Apache-2.0
// The host's own resolver, systemd-resolved with a bus of its own in a lab host: it asks us for names of our domain while we run, and no longer.
// packaging/setup.sh unpacks it below dist/; without it the test is skipped.
//
//   h1 (systemd-resolved, exposed) ── h2 [web 10.2.1.1]
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { waitFor } from "../../support/wait.ts";
import { attach, launch, waitForMesh } from "../../support/weave.ts";

const ROOT = new URL("../../../dist/resolved", import.meta.url).pathname;
const RESOLVECTL = `${ROOT}/usr/bin/resolvectl`;
const isThere = existsSync(RESOLVECTL) && Bun.which("dbus-daemon") !== null && Bun.which("busctl") !== null;

let lab: Lab;
let h1: Host;
let h2: Host;

/** The user it runs as, its policy on the bus, the bus and the service; all of it ends with the lab. */
async function startResolved(host: Host): Promise<void> {
  const prepare = `
    grep -q ^systemd-resolve: /etc/group || echo systemd-resolve:x:989: >>/etc/group
    grep -q ^systemd-resolve: /etc/passwd || echo systemd-resolve:x:989:989::/:/usr/sbin/nologin >>/etc/passwd
    mkdir -p /run/dbus /run/systemd/resolve /etc/dbus-1/system.d
    chown systemd-resolve:systemd-resolve /run/systemd/resolve
    cp ${ROOT}/usr/share/dbus-1/system.d/*.conf /etc/dbus-1/system.d/`;
  await host.must(["sh", "-ec", prepare]);
  host.background(["dbus-daemon", "--system", "--nofork", "--nopidfile"]);
  await waitFor("the bus", () => existsSync(host.file("/run/dbus/system_bus_socket")));
  host.background([`${ROOT}/lib/systemd/systemd-resolved`]);
  await waitFor("systemd-resolved", async () => (await host.run([RESOLVECTL, "status"])).code === 0);
}

/** How many links it has a name server for. */
async function linksWithServers(host: Host): Promise<number> {
  const { stdout } = await host.run([RESOLVECTL, "dns"]);
  return stdout.split("\n").filter((line) => /^Link.*:\s+\S/.test(line)).length;
}

describe.skipIf(!isThere)("systemd-resolved", () => {
  beforeAll(async () => {
    const world = await wire("full", 2);
    lab = world.lab;
    [h1, h2] = world.hosts as [Host, Host];
    await startResolved(h1);
    await Promise.all([launch(h1), launch(h2, h1.address)]);
    await waitForMesh(world.hosts);
    await attach(h2, "web", "10.2.1.1/24");
  });
  afterAll(async () => await lab?.close());

  test("resolves our names once the host is exposed, and is told nothing else", async () => {
    await h1.mustWeave("expose", "10.2.1.254/24");
    const { found } = await waitFor(
      "the name on the host",
      async () => {
        const { code, stdout } = await h1.run([RESOLVECTL, "query", "web.weave.local"]);
        return code === 0 ? stdout : undefined;
      },
      { deadlineMs: 40_000, everyMs: 200 },
    );
    expect(found).toContain("10.2.1.1");
    expect((await h1.run([RESOLVECTL, "query", "nobody.weave.local"])).code).not.toBe(0);
    expect(await linksWithServers(h1)).toBe(1);
    expect(await h1.must([RESOLVECTL, "domain", "weave"])).toContain("~weave.local");
  });

  test("is as before after stop", async () => {
    await h1.mustWeave("stop");
    await waitFor("the link's server to be gone", async () => (await linksWithServers(h1)) === 0);
    expect((await h1.run([RESOLVECTL, "query", "web.weave.local"])).code).not.toBe(0);
  });
});
