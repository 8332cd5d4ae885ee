// SPDX-License-Identifier: Apache-2.0
// Names of containers of a real Docker daemon, with the compiled executable: which name they get, and that it goes with them.
//
//   h1 (with Docker's containers) ── h2
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Lab } from "../../support/lab.ts";
import type { Host } from "../../support/lab-host.ts";
import { wire } from "../../support/shapes.ts";
import { launch, waitForMesh } from "../../support/weave.ts";
import { DockerDaemon, dockerMissing } from "../attach/dockerd.ts";
import { ask, atHome, resolvesTo } from "./ask.ts";

const missing = dockerMissing();
if (missing !== undefined) console.warn(`skipped: Docker daemon: ${missing}`);

describe.skipIf(missing !== undefined)("containers of Docker", () => {
  let docker: DockerDaemon;
  let lab: Lab;
  let h1: Host;
  let h2: Host;
  beforeAll(async () => {
    docker = await DockerDaemon.start();
    const world = await wire("full", 2);
    lab = world.lab;
    [h1, h2] = world.hosts as [Host, Host];
    const listen = ["--dns-listen-address", "127.0.0.1:53"];
    await launch(h1, ...listen, "--docker-api", `unix://${docker.socket}`);
    await launch(h2, ...listen, h1.address);
    await waitForMesh(world.hosts);
  }, 90_000);
  afterAll(async () => {
    await lab?.close();
    await docker?.[Symbol.asyncDispose]();
  }, 60_000);

  test("are called by their host name in the domain, or else by their own; a host name elsewhere is none of ours", async () => {
    await docker.runSleeper("first", "--hostname", "web", "--domainname", "weave.local");
    await docker.runSleeper("second");
    await docker.runSleeper("third", "--hostname", "box", "--domainname", "example.com");
    await h1.mustWeave("attach", "10.2.1.1/24", "first");
    await h1.mustWeave("attach", "10.2.1.2/24", "second");
    await h1.mustWeave("attach", "10.2.1.3/24", "third");
    await resolvesTo(atHome(h2), "web.weave.local", ["10.2.1.1"]);
    await resolvesTo(atHome(h2), "second.weave.local", ["10.2.1.2"]);
    for (const name of ["first", "third", "box"]) expect((await ask(atHome(h1), name))?.rcode).toBe(3);
    await h1.mustWeave("dns-add", "third", "-h", "cube.weave.local");
    await resolvesTo(atHome(h2), "cube", ["10.2.1.3"]);
  }, 60_000);

  test("lose their names everywhere when they end", async () => {
    await docker.docker("rm", "-f", "first", "third");
    await resolvesTo(atHome(h2), "web.weave.local", [], 60_000);
    await resolvesTo(atHome(h2), "cube.weave.local", [], 60_000);
    await resolvesTo(atHome(h2), "second.weave.local", ["10.2.1.2"]);
  }, 90_000);

  test("that are not attached can have names too, as long as they run", async () => {
    await docker.runSleeper("elsewhere");
    await h1.mustWeave("dns-add", "172.30.0.9", "elsewhere", "-h", "legacy.weave.local");
    await resolvesTo(atHome(h2), "legacy.weave.local", ["172.30.0.9"]);
    await docker.docker("rm", "-f", "elsewhere");
    await resolvesTo(atHome(h2), "legacy.weave.local", [], 60_000);
    expect((await h1.weave("dns-add", "172.30.0.9", "elsewhere", "-h", "legacy.weave.local")).code).toBe(1);
  }, 90_000);
});
