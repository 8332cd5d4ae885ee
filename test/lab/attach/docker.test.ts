// SPDX-License-Identifier: Apache-2.0
// Containers of a real Docker daemon: found by name and id, attached, restarted, ended; its events, also over its own restart.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DockerClient } from "../../../src/docker/client.ts";
import type { ContainerEvent } from "../../../src/docker/decode.ts";
import { parseDockerEndpoint } from "../../../src/docker/endpoint.ts";
import { DockerEvents } from "../../../src/docker/events.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { silentLog } from "../../../src/runtime/log.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { waitFor } from "../../support/wait.ts";
import { DockerDaemon, dockerMissing } from "./dockerd.ts";
import { AttachWorld, failure } from "./world.ts";

const missing = dockerMissing();
if (missing !== undefined) console.warn(`skipped: Docker daemon: ${missing}`);

describe.skipIf(missing !== undefined)("with a Docker daemon", () => {
  let docker: DockerDaemon;
  let client: DockerClient;
  let world: AttachWorld;
  beforeAll(async () => {
    docker = await DockerDaemon.start();
    client = new DockerClient(parseDockerEndpoint(docker.socket));
    world = await AttachWorld.make();
    world.runtime = client;
  }, 60_000);
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await docker[Symbol.asyncDispose]();
  }, 60_000);

  const inside = (name: string, ...command: string[]): Promise<string> => docker.docker("exec", name, ...command);

  test("a container is described by name, full id and short id; what is unknown is undefined", async () => {
    const id = await docker.runSleeper("described", "--hostname", "box", "--domainname", "example.com");
    const described = await client.inspect("described");
    expect(described).toMatchObject({
      id,
      name: "described",
      running: true,
      hostNetwork: false,
      hostname: "box",
      domain: "example.com",
    });
    expect(described?.pid).toBeGreaterThan(1);
    expect(await client.inspect(id)).toEqual(described);
    expect(await client.inspect(id.slice(0, 12))).toEqual(described);
    expect(await client.inspect("no-such")).toBeUndefined();
    expect(await client.inspect("../version")).toBeUndefined();
    expect(await client.running()).toContainEqual({ id, name: "described" });
  });

  test("attach by name, again by short id and by PID; the container reaches another", async () => {
    const id = await docker.runSleeper("web");
    await docker.runSleeper("db");
    const { attacher } = world.parts;
    await attacher.attach({ target: "web", addresses: ["10.32.1.5/24"] });
    await attacher.attach({ target: id.slice(0, 7), addresses: ["10.32.1.5/24"] });
    const { pid } = (await client.inspect("web"))!;
    await attacher.attach({ target: `${pid}`, addresses: ["10.32.1.5/24"] });
    await attacher.attach({ target: "container:db", addresses: ["10.32.1.6/24"] });
    expect(attacher.list()).toMatchObject([{ owner: id, name: "web", hostLink: `vethwepl${pid}` }, { name: "db" }]);
    expect(await inside("db", "ping", "-c1", "-W2", "10.32.1.5")).toContain("1 packets received");
    const refusal = await failure(attacher.attach({ target: "db", addresses: ["10.32.1.5/24"] }));
    expect(refusal.message).toBe("cannot attach 'db': 10.32.1.5 is held by 'web' on this host");
    expect((await attacher.detach({ target: "web", addresses: [] })).addresses.map(String)).toEqual(["10.32.1.5"]);
    expect(await inside("web", "ip", "link")).not.toContain("ethwe");
  });

  test("a restarted container is a new namespace: the old record goes, nothing is restored", async () => {
    await docker.runSleeper("again");
    await world.parts.attacher.attach({ target: "again", addresses: ["10.32.1.7/24"] });
    await docker.docker("restart", "-t", "0", "again");
    await world.parts.attacher.reconcile();
    expect(world.parts.attacher.list().map((one) => one.name)).not.toContain("again");
    await world.parts.attacher.attach({ target: "again", addresses: ["10.32.1.7/24"] });
    expect(await inside("again", "ip", "addr", "show", "ethwe")).toContain("10.32.1.7/24");
  });

  test("a stopped container cannot be attached, and detaching it is empty", async () => {
    await docker.runSleeper("stopped");
    await world.parts.attacher.attach({ target: "stopped", addresses: ["10.32.1.8/24"] });
    await docker.docker("stop", "-t", "0", "stopped");
    const refusal = await failure(world.parts.attacher.attach({ target: "stopped", addresses: ["10.32.1.8/24"] }));
    expect(refusal.message).toBe("cannot attach container 'stopped': it is not running");
    expect(await world.parts.attacher.detach({ target: "stopped", addresses: [] })).toEqual({ addresses: [] });
    expect(world.parts.attacher.list().map((one) => one.name)).not.toContain("stopped");
  });

  test("a container in the namespace of another is the same attachment", async () => {
    await docker.runSleeper("first");
    await docker.docker(
      "run",
      "-d",
      "--name",
      "second",
      "--network",
      "container:first",
      "weave-test-busybox",
      "/bin/sleep",
      "600",
    );
    await world.parts.attacher.attach({ target: "first", addresses: ["10.32.1.9/24"] });
    await world.parts.attacher.attach({ target: "second", addresses: ["10.32.1.9/24"] });
    expect(world.parts.attacher.list().filter((one) => ["first", "second"].includes(one.name)).length).toBe(1);
  });

  test("--rewrite-hosts writes names at the weave addresses into the running container", async () => {
    await docker.runSleeper("named", "--hostname", "box", "--domainname", "weave.local");
    const request = { target: "named", addresses: ["10.32.1.10/24"], rewriteHosts: true, addHosts: ["other:10.32.1.11"] };
    expect((await world.parts.attacher.attach(request)).warnings).toEqual([]);
    const hosts = await inside("named", "cat", "/etc/hosts");
    expect(hosts).toMatch(/^10\.32\.1\.10 +box\.weave\.local box$/m);
    expect(hosts).toMatch(/^10\.32\.1\.11 +other$/m);
    expect(hosts).toMatch(/^127\.0\.0\.1 +localhost$/m);
  });

  test("starts and ends are told, also after Docker itself was away", async () => {
    const events: ContainerEvent[] = [];
    let connections = 0;
    const ports = { client, clock: systemClock, random: systemRandom, log: silentLog };
    const stream = new DockerEvents(ports, { connected: () => connections++, event: (event) => void events.push(event) });
    await using _stream = stream;
    const told = (action: string, id: string): boolean => events.some((event) => event.action === action && event.id === id);
    await waitFor("connected", () => stream.isConnected);
    const first = await docker.runSleeper("told");
    await waitFor("the start", () => told("start", first));
    await docker.docker("rm", "-f", "told");
    await waitFor("die and destroy", () => told("die", first) && told("destroy", first));
    await docker.down();
    await waitFor("disconnected", () => !stream.isConnected);
    const refusal = await failure(client.inspect("web"));
    expect(refusal.message).toBe(`Docker does not answer at unix://${docker.socket}`);
    await docker.up();
    await waitFor("connected again", () => stream.isConnected && connections === 2, { deadlineMs: 20_000 });
    const second = await docker.runSleeper("told2");
    await waitFor("the start after Docker's restart", () => told("start", second));
    expect(new Set(events.map((event) => `${event.action} ${event.timeNs}`)).size).toBe(events.length);
  }, 60_000);
});

test("without Docker a namespace is still attached, and a missing container says both", async () => {
  await using world = await AttachWorld.make();
  world.runtime = new DockerClient(parseDockerEndpoint("unix:///nowhere/docker.sock"));
  const web = await world.container("web");
  await world.parts.attacher.attach({ target: web, addresses: ["10.32.1.5/24"] });
  const refusal = await failure(world.parts.attacher.attach({ target: "some-container", addresses: ["10.32.1.6/24"] }));
  expect(refusal.message).toBe(
    "no container, network namespace or process 'some-container' (Docker does not answer at unix:///nowhere/docker.sock)",
  );
});
