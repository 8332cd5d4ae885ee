// SPDX-License-Identifier: Apache-2.0
// What operators type every day, in all the ways they write it.
//
//   h1 [c1 by path, c2 by name, c3 by pid, vm1], alone
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Lab } from "../support/lab.ts";
import { type Container, EXECUTABLE, type Host } from "../support/lab-host.ts";
import { kill } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";
import { attach, launch } from "../support/weave.ts";

let lab: Lab;
let h1: Host;
beforeAll(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  h1 = lab.host("h1");
  await launch(h1);
});
afterAll(async () => await lab?.close());

describe("ps", () => {
  /** The addresses of the only line for a word. */
  async function addressesOf(word: string): Promise<string> {
    const [line = "", ...more] = (await h1.mustWeave("ps", word)).trimEnd().split("\n");
    expect(more).toEqual([]);
    const [label = "", , ...addresses] = line.split(" ");
    expect(label).toBe(word.slice(0, 12));
    return addresses.join(" ");
  }

  test("finds a container by whatever attach would take for it, not only by the word it was attached with", async () => {
    const [c1, c2, c3] = await h1.containers("c1", "c2", "c3");
    if (c1 === undefined || c2 === undefined || c3 === undefined) throw new Error("no containers");
    const sleeper = c3.background(["sleep", "1000"]);
    await h1.mustWeave("attach", "10.2.1.1/24", c1.path);
    await h1.mustWeave("attach", "10.2.1.2/24", c2.name);
    await h1.mustWeave("attach", "10.2.1.3/24", `${sleeper.pid}`);
    await h1.mustWeave("attach", "--tap", "vm1", "10.2.1.4/24");
    for (const word of [c1.name, c1.path, `netns:${c1.path}`]) expect(await addressesOf(word)).toBe("10.2.1.1/24");
    for (const word of [c2.name, c2.path]) expect(await addressesOf(word)).toBe("10.2.1.2/24");
    for (const word of [c3.name, c3.path, `${sleeper.pid}`]) expect(await addressesOf(word)).toBe("10.2.1.3/24");
    for (const word of ["vm1", "tap:vm1"]) expect(await addressesOf(word)).toBe("10.2.1.4/24");
    expect(await h1.mustWeave("ps", "nobody", "/run/netns/nobody", "999999")).toBe("");
  });
});

test("a daemon that hangs is told from one that is not there, soon", async () => {
  const pid = h1.daemonPid();
  if (pid === undefined) throw new Error("no daemon");
  kill(pid, "SIGSTOP");
  try {
    const began = performance.now();
    const [version, status, ps] = await Promise.all([
      h1.weave("version", "--verbose"),
      h1.weave("status"),
      h1.weave("status", "peers"),
    ]);
    expect(version.stdout).toContain("daemon does not answer\n");
    for (const { code, stderr } of [status, ps]) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/^weave status: the daemon does not answer on .*'weave stop' ends it\n$/);
    }
    expect(performance.now() - began).toBeLessThan(20_000);
  } finally {
    kill(pid, "SIGCONT");
  }
  await h1.mustWeave("status");
});

test("a password is nothing to warn of at launch, an empty one is", async () => {
  const h2 = lab.host("h2");
  expect(await h2.weave("launch", "--password", "secret")).toMatchObject({ code: 0, stderr: "" });
  await h2.mustWeave("reset");
  expect((await h2.weave("launch", "--password=")).stderr).toBe(
    "weave launch: warning: an empty password is none: every host may connect\n",
  );
  await h2.mustWeave("reset");
});

test("of several launches at once one starts the daemon, the others find it running, and its options stay", async () => {
  const h2 = lab.host("h2");
  const finished = await Promise.all(["one", "two", "three"].map((nickname) => h2.weave("launch", "--nickname", nickname)));
  expect(finished.map(({ code }) => code).sort()).toEqual([0, 3, 3]);
  const winner = ["one", "two", "three"][finished.findIndex(({ code }) => code === 0)];
  expect(await h2.mustWeave("report", "-f", "{{.Router.NickName}}")).toBe(`${winner}`);
  await h2.killDaemon();
  const resumed = h2.background([EXECUTABLE, "daemon"]);
  await waitFor("the daemon to be back", async () => (await h2.weave("status")).code === 0);
  expect(await h2.mustWeave("report", "-f", "{{.Router.NickName}}")).toBe(`${winner}`);
  await h2.mustWeave("reset");
  await resumed.ended(3_000);
});

test("reset removes the state of the daemon that runs, wherever it keeps it", async () => {
  const h2 = lab.host("h2");
  await launch(h2, "--data-dir", "/var/lib/elsewhere");
  expect(existsSync(h2.file("/var/lib/elsewhere/identity.key"))).toBe(true);
  await h2.mustWeave("reset");
  expect(existsSync(h2.file("/var/lib/elsewhere"))).toBe(false);
});

describe("attach-bridge", () => {
  const bridge = "br-0123456789ab"; // as Docker names its networks' bridges: as long as a name can be
  let inside: Container;
  beforeAll(async () => {
    const h2 = lab.host("h2");
    await launch(h2, h1.address);
    await attach(h2, "far", "10.2.7.2/24");
    await h1.must(["ip", "link", "add", bridge, "type", "bridge"]);
    await h1.must(["ip", "link", "set", bridge, "up"]);
    inside = await h1.container("inside");
    await h1.must(["ip", "link", "add", "plug", "type", "veth", "peer", "name", "eth0", "netns", inside.name]);
    await h1.must(["ip", "link", "set", "plug", "master", bridge, "up"]);
    await inside.must(["ip", "addr", "add", "10.2.7.1/24", "dev", "eth0"]);
    await inside.must(["ip", "link", "set", "eth0", "up", "mtu", "1300"]);
  });
  const joins = async (): Promise<boolean> =>
    (await h1.must(["ip", "-br", "link", "show", "master", bridge])).includes("vethwebg");

  test("what is plugged into another bridge reaches containers of other hosts, also after a new daemon and after repairs", async () => {
    expect(await inside.reaches("10.2.7.2", 1_000)).toBe(false);
    expect(await h1.mustWeave("attach-bridge", bridge)).toBe("");
    expect(await h1.mustWeave("attach-bridge", bridge)).toBe(""); // no error
    expect(await inside.reaches("10.2.7.2")).toBe(true);
    expect(await h1.mustWeave("ps", `bridge:${bridge}`)).toMatch(/^bridge:br-01 [0-9a-f:]{17}\n$/);
    await h1.killDaemon();
    await launch(h1);
    await h1.must(["sh", "-c", "ip link del $(ls /sys/class/net | grep vethwebl)"]);
    await waitFor("the pair to be made again", joins, { deadlineMs: 5_000 });
    expect(await inside.reaches("10.2.7.2")).toBe(true);
  });

  test("a bridge that goes away and comes back is joined again; one that was taken off is not", async () => {
    await h1.must(["ip", "link", "del", bridge]);
    await h1.must(["ip", "link", "add", bridge, "type", "bridge"]);
    await h1.must(["ip", "link", "set", "plug", "master", bridge]);
    await h1.must(["ip", "link", "set", bridge, "up"]);
    await h1.mustWeave("attach-bridge", bridge);
    expect(await inside.reaches("10.2.7.2")).toBe(true);
    expect(await h1.mustWeave("attach-bridge", "--remove", bridge)).toBe("");
    expect(await joins()).toBe(false);
    await h1.killDaemon();
    await launch(h1);
    expect(await joins()).toBe(false);
    expect(await inside.reaches("10.2.7.2", 1_000)).toBe(false);
  });

  test("what is no other bridge is refused, and leaves nothing", async () => {
    for (const [word, why] of [
      ["nosuch", "there is no bridge 'nosuch' on this host"],
      ["weave", "cannot attach 'weave' to itself"],
      ["lo", "'lo' is a hardware link, not a bridge"],
    ] as const) {
      expect(await h1.weave("attach-bridge", word)).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(why) });
    }
    const removal = await h1.weave("attach-bridge", "--remove", bridge);
    expect(removal.stderr).toContain(`the bridge '${bridge}' is not attached`);
    expect(await h1.must(["ls", "/sys/class/net"])).not.toContain("vethweb");
  });
});
