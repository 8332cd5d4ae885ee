// SPDX-License-Identifier: Apache-2.0
// What people see of attempts to connect: in the log, in the status, and when they ask again by hand.
import { describe, expect, test } from "bun:test";
import { isFullMesh } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { meshAtRest } from "./harness/setups.ts";
import { World } from "./harness/world.ts";

/** Log lines of an event. */
function told(host: SimHost, event: string): string[] {
  return host.logged.filter((line) => line.includes(` ${event} {`));
}

describe("a target that does not answer", () => {
  function waiting(): { world: World; here: SimHost; there: SimHost } {
    const world = new World(1);
    const [here, there] = world.addHosts(2) as [SimHost, SimHost];
    here.start([there.ip]);
    world.run(20_000);
    return { world, here, there };
  }

  test("is tried ever more rarely, and told once with its reason", () => {
    const { world, here, there } = waiting();
    const [lines, before] = [told(here, "cannot connect"), world.network.totalBytes];
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(
      `warn cannot connect {"target":"${there.ip}","reason":"dial tcp ${there.address}: connection refused"}`,
    );
    world.run(60_000);
    expect(told(here, "cannot connect")).toEqual(lines);
    expect(world.network.totalBytes - before).toBeLessThan(10 * 74);
  });

  test("is tried at once when it is connected to again by hand", () => {
    const { world, here, there } = waiting();
    there.start();
    here.mesh?.connect([there.ip]);
    world.runUntil(() => isFullMesh([here, there]), 100, "connected");
  });

  test("is told again when it had worked in between", () => {
    const { world, here, there } = waiting();
    there.start();
    world.runUntil(() => isFullMesh([here, there]), 60_000, "connected");
    world.run(1_000);
    there.stop("leaving");
    world.run(20_000);
    expect(told(here, "cannot connect")).toHaveLength(2);
  });

  test("at its connection limit is told once and tried ever more rarely", () => {
    const world = new World(2);
    const full = world.addHost({ connectionLimit: 1 });
    const [first, second] = world.addHosts(2, { discovery: false }) as [SimHost, SimHost];
    full.start();
    first.start([full.ip]);
    world.runUntil(() => isFullMesh([full, first]), 5_000, "connected");
    second.start([full.ip]);
    world.run(60_000);
    expect(told(second, "cannot connect")).toHaveLength(1);
    expect(told(full, "connection refused")).toHaveLength(1);
    expect(second.mesh?.view().terminations).toBeLessThan(10);
  });
});

test("a peer whose daemon ended is one connection, with the reason why nobody answers", () => {
  const { world, hosts } = meshAtRest(2, 3);
  const [here, there] = hosts as [SimHost, SimHost];
  there.mesh?.connect([here.ip]);
  here.mesh?.connect([there.ip]);
  there.kill();
  world.run(20_000);
  const connections = here.mesh?.view().connections ?? [];
  expect(connections).toMatchObject([{ state: "established", control: "stale", peer: { name: there.name } }]);
  expect(connections[0]?.reason).toBe(`dial tcp ${there.address}: connection refused`);
  there.start([], { restored: true });
  world.runUntil(() => here.mesh?.view().connections[0]?.control === "up", 60_000, "connected again");
  expect(here.mesh?.view().connections).toMatchObject([{ reason: "" }]);
  for (const event of ["control connection lost", "control connection back"]) expect(told(here, event)).toHaveLength(1);
});

test("a daemon that is started anew soon is connected to its neighbour again at once", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { world, hosts } = meshAtRest(2, seed);
    const [here, there] = hosts as [SimHost, SimHost];
    here.kill();
    world.run(300);
    here.start([], { restored: true });
    world.runUntil(() => there.mesh?.view().connections[0]?.control === "up", 160, `connected again, seed ${seed}`);
  }
});

test("our own address among the targets is one failed target, not a stranger that was turned away as well", () => {
  const world = new World(4);
  const host = world.addHost();
  host.start([host.ip]);
  world.run(5_000);
  expect(host.mesh?.view().connections).toMatchObject([{ outbound: true, state: "failed", reason: "cannot connect to ourself" }]);
});

test("log lines name peers as people see them, never by number", () => {
  const { world, hosts } = meshAtRest(4, 5);
  hosts[1]?.kill();
  hosts[2]?.stop("leaving");
  hosts[3]?.powerOff();
  hosts[0]?.mesh?.revoke(Buffer.from(hosts[1]!.options.publicKey).toString("hex"));
  world.run(400_000);
  expect(told(hosts[0]!, "key revoked")).toHaveLength(1);
  const lines = hosts.flatMap((host) => host.logged).filter((line) => line.includes('"peer"'));
  expect(lines.length).toBeGreaterThan(10);
  for (const line of lines) expect(line).toMatch(/"peer":"[0-9a-f]{2}(:[0-9a-f]{2}){5}/);
});
