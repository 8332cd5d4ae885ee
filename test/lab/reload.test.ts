// SPDX-License-Identifier: Apache-2.0
// `weave reload`: what changes in weave.toml counts without a restart, and no connection ends but those that a change forbids.
//
//   h1 ──seg0── h2, their daemons started as the service does: by weave.toml alone
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import type { Background } from "../support/command.ts";
import { Lab } from "../support/lab.ts";
import { EXECUTABLE, type Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { neighboursOf, statusOf } from "../support/weave.ts";

let lab: Lab;
let h1: Host;
let h2: Host;
let daemons: Background[];
beforeAll(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  [h1, h2] = [lab.host("h1"), lab.host("h2")];
  for (const host of [h1, h2]) await configure(host, 'password = ["first word"]', 'trusted-subnets = ["10.0.0.0/8"]');
  daemons = [h1, h2].map((host) => host.background([EXECUTABLE, "daemon"]));
  for (const host of [h1, h2])
    await waitFor(`the daemon of ${host.name}`, async () => (await statusOf(host)).ready, { everyMs: 50 });
});
afterAll(async () => await lab?.close());

async function configure(host: Host, ...lines: readonly string[]): Promise<void> {
  await host.must(["mkdir", "-p", "/etc/weave"]);
  writeFileSync(host.file("/etc/weave/weave.toml"), lines.map((line) => `${line}\n`).join(""));
}

const areNeighbours = async (): Promise<boolean> =>
  neighboursOf(await statusOf(h1)).join() === "h2" && neighboursOf(await statusOf(h2)).join() === "h1";
const connection = async () => (await statusOf(h1)).router.connections.find(({ peer }) => peer?.nickname === "h2");

describe("reload", () => {
  test("peers and log level count at once, other options are named, a second time there is nothing", async () => {
    await configure(
      h1,
      `peers = ["${h2.address}"]`,
      'password = ["first word"]',
      'trusted-subnets = ["10.0.0.0/8"]',
      'log-level = "debug"',
      "mtu = 1300",
    );
    const { code, stdout, stderr } = await h1.weave("reload");
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "taken over: log-level, peers\n",
      stderr: "weave reload: changed too, and counts after 'systemctl restart weave': mtu\n",
    });
    await waitFor("the connection", areNeighbours);
    const { config, router } = await statusOf(h1);
    expect([config["logLevel"], config["mtuBytes"], router.targets]).toEqual(["debug", 0, [h2.address]]);
    await waitFor("an event of that level", () => /^\S+ \S+ DEBUG|routes changed/m.test(daemons[0]?.stderr ?? ""));
    expect(JSON.parse((await h1.weave("reload", "--json")).stdout)).toMatchObject({
      changed: [],
      needRestart: ["mtu"],
      warnings: [],
    });
  });

  test("a file that cannot be used changes nothing, and is told", async () => {
    await configure(h1, 'log-level = "loud"', 'password = ["other word"]');
    const { code, stdout, stderr } = await h1.weave("reload");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^weave reload: invalid value 'loud' for 'log-level' in \/etc\/weave\/weave\.toml: .*\n$/);
    await configure(h1, `password = ["${"x".repeat(2_000)}"]`, 'log-level = "error"');
    expect((await h1.weave("reload")).stderr).toMatch(/^weave reload: a password has at most 1024 bytes/);
    expect((await statusOf(h1)).config["logLevel"]).toBe("debug");
    expect(await areNeighbours()).toBe(true);
  });

  test("a password is replaced host by host, and the connection lives through it", async () => {
    const rest = [`peers = ["${h2.address}"]`, 'trusted-subnets = ["10.0.0.0/8"]'];
    const { terminationCount: before } = (await statusOf(h1)).router;
    for (const words of ['"first word", "second word"', '"second word"']) {
      for (const host of [h1, h2]) {
        await configure(host, `password = [${words}]`, ...(host === h1 ? rest : rest.slice(1)));
        expect(await host.mustWeave("reload")).toContain("password");
      }
    }
    expect((await statusOf(h1)).router.terminationCount).toBe(before);
    expect(await areNeighbours()).toBe(true);
    expect((await h1.mustWeave("password", "list")).split("\n")[0]).toBe("1 password");
    expect(await h1.mustWeave("report")).not.toContain("second word");
  });

  test("a network that is not trusted any more: its connection is made anew, with data encrypted", async () => {
    await waitFor("a data path", async () => (await connection())?.state === "established");
    expect((await connection())?.encrypted).toBe(false);
    await configure(h1, `peers = ["${h2.address}"]`, 'password = ["second word"]');
    const { stdout, stderr } = await h1.weave("reload");
    expect(stdout).toBe("taken over: trusted-subnets\n");
    expect(stderr).toBe("weave reload: connections to networks that are not trusted any more are made anew: 1\n");
    await waitFor("data to be encrypted", async () => {
      const now = await connection();
      return now?.state === "established" && now.encrypted;
    });
  });

  test("SIGHUP does the same, and leaves its words in the log", async () => {
    await configure(h1, `peers = ["${h2.address}"]`, 'password = ["second word"]', 'log-level = "debug"');
    daemons[0]?.signal("SIGHUP"); // nsenter hands the process over to the daemon
    await waitFor("the level", async () => (await statusOf(h1)).config["logLevel"] === "debug");
    await configure(h1, "nonsense = 1");
    daemons[0]?.signal("SIGHUP");
    await waitFor("the refusal", () => /cannot reload, everything stays as it was.*nonsense/.test(daemons[0]?.stderr ?? ""));
    await waitFor("both to be connected as before", areNeighbours);
  });

  test("a password handed over by the service manager, after launch.json and before the environment", async () => {
    await daemons[1]?.stop();
    await h2.must([
      "sh",
      "-c",
      "mkdir /run/credentials && printf 'handed over\\nand another\\n' >/run/credentials/weave.password",
    ]);
    await configure(h2, 'password = ["of the file"]');
    const env = ["CREDENTIALS_DIRECTORY=/run/credentials", "WEAVE_PASSWORD=of the environment"];
    h2.background(["env", ...env, EXECUTABLE, "daemon"]);
    await waitFor("the daemon", async () => (await statusOf(h2)).ready, { everyMs: 50 });
    const listed = (await h2.mustWeave("password", "list")).trim().split("\n");
    expect(listed[0]).toBe("2 passwords");
    writeFileSync(h2.file("/run/credentials/weave.password"), "and another\n");
    expect(await h2.mustWeave("reload")).toBe("taken over: password\n");
    expect((await h2.mustWeave("password", "list")).trim().split("\n")).toEqual(["1 password", listed[2] ?? ""]);
    const everything = (await h2.mustWeave("report")) + readFileSync(h2.file("/run/credentials/weave.password"), "utf8");
    expect(everything.match(/and another/g)).toHaveLength(1);
  });
});
