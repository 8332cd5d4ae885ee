// SPDX-License-Identifier: Apache-2.0
// What operators get wrong: each gets one clear message and the right exit code, nothing is half done, the daemon lives on.
//
//   h1 [c1], alone unless a test says otherwise
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import type { Finished } from "../support/command.ts";
import { Lab } from "../support/lab.ts";
import { type Container, EXECUTABLE, type Host } from "../support/lab-host.ts";
import { networkOf } from "../support/snapshot.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf } from "../support/weave.ts";

const FAILED = 1;
const UNREACHABLE = 7;
/** A flag the daemon does not know, or one without its value. */
const BAD_FLAG = 125;

let lab: Lab;
let h1: Host;
let c1: Container;

beforeAll(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2"], segments: [["h1", "h2"]] });
  h1 = lab.host("h1");
  await launch(h1);
  c1 = await h1.container("c1");
});
afterAll(async () => await lab?.close());

/** The message stands first on stderr, without a stack trace or words of the machinery; stdout stays empty.
 *  @param mostLines what may follow: the daemon's last words, or nothing */
function complains(finished: Finished, code: number, words: readonly RegExp[], mostLines = 3): void {
  expect(finished).toMatchObject({ code, stdout: "" });
  for (const word of words) expect(finished.stderr).toMatch(word);
  expect(finished.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(finished.stderr).not.toMatch(/\bundefined\b|\bNaN\b|\[object Object\]|Bun v1/);
  expect(finished.stderr.trim().split("\n").length).toBeLessThanOrEqual(mostLines);
}

/** A failing `launch` shows the daemon's last lines, ten at most, before its own message. */
const WITH_LOG = 14;

describe("usage", () => {
  const CASES: readonly (readonly [what: string, args: readonly string[], code: number, word: RegExp])[] = [
    ["an unknown command", ["lunch"], FAILED, /lunch/],
    ["an unknown flag", ["status", "--frobnicate"], FAILED, /--frobnicate/],
    ["an unknown flag of launch", ["launch", "--frobnicate"], BAD_FLAG, /--frobnicate/],
    ["too many arguments", ["stop", "now"], FAILED, /now/],
    ["connect without a peer", ["connect"], FAILED, /peer/i],
    ["forget without a peer", ["forget"], FAILED, /peer/i],
    ["attach without a container", ["attach"], FAILED, /container/i],
    ["an unknown status", ["status", "frobnication"], FAILED, /frobnication/],
    ["a flag without its value", ["launch", "--port"], BAD_FLAG, /port/],
    ["a port that is none", ["launch", "--port", "70000"], FAILED, /70000/],
    ["a peer name that is none", ["launch", "--name", "zz:zz"], FAILED, /zz:zz/],
    ["a trusted subnet that is none", ["launch", "--trusted-subnets", "10.0.0.0/99"], FAILED, /10\.0\.0\.0\/99/],
    ["an MTU that is none", ["launch", "--mtu", "12"], FAILED, /12/],
    ["a report template that is none", ["report", "-f", "{{.Router"], FAILED, /template|\{\{/i],
  ];
  for (const [what, args, code, word] of CASES) {
    test(`${what} is named in the first line`, async () => {
      const finished = await h1.weave(...args);
      // The command's help may follow.
      complains(finished, code, [], 60);
      expect(finished.stderr.split("\n")[0]).toMatch(word);
    });
  }

  test("no command prints the usage on stderr and fails", async () => {
    const finished = await h1.weave();
    expect(finished.code).not.toBe(0);
    expect(finished.stdout).toBe("");
    expect(finished.stderr).toMatch(/launch/);
  });

  test("every command explains itself", async () => {
    for (const command of "launch stop reset connect forget attach detach expose hide ps status report version rmpeer".split(
      " ",
    )) {
      const { code, stdout, stderr } = await h1.weave(command, "--help");
      expect(`${command} ${code}`).toBe(`${command} 0`);
      expect(stdout + stderr).toMatch(new RegExp(`weave ${command}`));
    }
  });
});

describe("addresses", () => {
  const CASES: readonly (readonly [what: string, address: string, words: RegExp])[] = [
    ["no address", "10.2.1/24", /10\.2\.1\/24/],
    ["an octet too large", "10.2.1.256/24", /10\.2\.1\.256/],
    ["a prefix too long", "10.2.1.1/33", /33/],
    ["the network's own address", "10.2.1.0/24", /10\.2\.1\.0/],
    ["the broadcast address", "10.2.1.255/24", /10\.2\.1\.255/],
    ["a multicast address", "239.1.2.3/24", /239\.1\.2\.3/],
    ["a loopback address", "127.0.0.5/8", /127\.0\.0\.5/],
  ];
  for (const [what, address, words] of CASES) {
    test(`attach refuses ${what}`, async () => {
      const before = await networkOf(c1);
      const finished = await h1.weave("attach", address, c1.name);
      complains(finished, FAILED, [words]);
      expect(await networkOf(c1)).toEqual(before);
    });
  }

  test("an address that overlaps a route of the host is told, with the route", async () => {
    for (const command of [
      ["attach", "10.200.1.77/24", c1.name],
      ["expose", "10.200.1.78/24"],
    ]) {
      const { stderr } = await h1.weave(...command);
      expect(`${command[0]}: ${stderr}`).toMatch(/10\.200\.1\.0\/24/);
      expect(stderr).toMatch(/route|overlap/i);
    }
    await h1.weave("hide", "10.200.1.78/24");
    await h1.weave("detach", "10.200.1.77/24", c1.name);
  });

  test("attach refuses a container that is not there, and one that is gone", async () => {
    complains(await h1.weave("attach", "10.2.1.1/24", "nobody"), FAILED, [/nobody/]);
    complains(await h1.weave("attach", "10.2.1.1/24", "/run/netns/nobody"), FAILED, [/nobody/]);
    complains(await h1.weave("attach", "10.2.1.1/24", "999999"), FAILED, [/999999/]);
  });

  test("attach refuses the host itself", async () => {
    complains(await h1.weave("attach", "10.2.1.1/24", `${h1.pid}`), FAILED, [/host/]);
  });

  test("an address in use on this host is refused with its holder", async () => {
    const other = await h1.container("other");
    await h1.mustWeave("attach", "10.2.7.1/24", c1.name);
    const before = await networkOf(other);
    complains(await h1.weave("attach", "10.2.7.1/24", other.name), FAILED, [/10\.2\.7\.1/, /c1/]);
    expect(await networkOf(other)).toEqual(before);
    await h1.mustWeave("detach", "10.2.7.1/24", c1.name);
  });

  test("a malformed peer is told, the good ones of the call are used", async () => {
    complains(await h1.weave("connect", "host:99999", lab.host("h2").address), FAILED, [/host:99999/]);
    expect((await statusOf(h1)).router.targets).toEqual([lab.host("h2").address]);
    await h1.mustWeave("forget", lab.host("h2").address);
  });

  test("a peer whose name does not resolve is told with the reason", async () => {
    complains(await h1.weave("connect", "no.such.host.invalid"), FAILED, [/no\.such\.host\.invalid/]);
    expect((await statusOf(h1)).router.targets).not.toContain("no.such.host.invalid");
  });
});

describe("without the right to do it", () => {
  test("an ordinary user is told to become root, at once, for what changes something", async () => {
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", EXECUTABLE];
    complains(await h1.run([...asNobody, "launch"]), FAILED, [/root/]);
    complains(await h1.run([...asNobody, "reset"]), FAILED, [/root/]);
    for (const words of [
      ["attach", "10.2.1.1/24", "c1"],
      ["connect", "10.9.9.9"],
      ["expose", "10.2.1.1/24"],
    ]) {
      const { code, stderr } = await h1.run([...asNobody, ...words]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/permission|root|group/i);
    }
  });

  test("root without CAP_NET_ADMIN is told which capability is missing", async () => {
    const [bare] = (await lab.addHosts("bare")) as [Host];
    const finished = await bare.run(["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", EXECUTABLE, "launch"]);
    complains(finished, FAILED, [/CAP_NET_ADMIN|net_admin/i]);
  });
});

describe("without a daemon", () => {
  const CASES = [
    [FAILED, "status"],
    [UNREACHABLE, "ps"],
    [UNREACHABLE, "connect", "10.9.9.9"],
    [UNREACHABLE, "report", "-f", "{{.Version}}"], // without a template it prints what can be known: see doctor.test.ts
    [UNREACHABLE, "attach", "10.2.1.1/24", "c1"],
    [UNREACHABLE, "expose", "10.2.1.1/24"],
  ] as const;
  for (const [code, ...args] of CASES) {
    test(`'${args[0]}' says how to start it and ends with ${code}`, async () => {
      complains(await lab.host("h2").weave(...args), code, [/weave launch/]);
    });
  }
});

describe("a machine that is not ready", () => {
  /** A fresh host on which `prepare` did something, and what `launch` says there. */
  async function launchAfter(
    name: string,
    prepare: (host: Host) => Promise<unknown>,
    ...args: readonly string[]
  ): Promise<{ host: Host; finished: Finished }> {
    const [host] = (await lab.addHosts(name)) as [Host];
    await prepare(host);
    return { host, finished: await host.weave("launch", ...args) };
  }

  test("the control port in use is told with the port, and nothing stays behind", async () => {
    const { host, finished } = await launchAfter("busy-tcp", async (busy) => {
      const listener = busy.background(["socat", "TCP-LISTEN:6783,reuseaddr,fork", "EXEC:true"]);
      await waitFor("a listener on 6783", async () => (await busy.must(["ss", "-ltn"])).includes(":6783"));
      return listener;
    });
    complains(finished, FAILED, [/6783/, /use/i], WITH_LOG);
    expect(host.daemonPid()).toBeUndefined();
  });

  test.each([
    ["sleeve", 6783],
    ["data", 6784],
  ])("the %s port in use is told with the port, and nothing stays behind", async (what, port) => {
    const { host, finished } = await launchAfter(`busy-${what}`, async (busy) => {
      busy.background(["socat", `UDP-LISTEN:${port},fork`, "EXEC:true"]);
      await waitFor(`a socket on ${port}`, async () => (await busy.must(["ss", "-lun"])).includes(`:${port}`));
    });
    complains(finished, FAILED, [new RegExp(`UDP port ${port}`), /use/i], WITH_LOG);
    expect(host.daemonPid()).toBeUndefined();
  });

  test("a foreign bridge called weave is not touched", async () => {
    const { host, finished } = await launchAfter("foreign", (foreign) =>
      foreign.must(["ip", "link", "add", "weave", "type", "veth", "peer", "name", "other"]),
    );
    complains(finished, FAILED, [/weave/], WITH_LOG);
    expect((await host.must(["ip", "-br", "link", "show", "weave"])).trim()).not.toBe("");
  });

  test("a damaged database is kept aside and told, and weave starts", async () => {
    const [host] = (await lab.addHosts("bad-db")) as [Host];
    await launch(host);
    await host.mustWeave("stop");
    const folder = host.file("/var/lib/weave");
    const database = readdirSync(folder).find((name) => name.endsWith(".db") || name.endsWith(".sqlite"));
    if (database === undefined) throw new Error(`no database in ${readdirSync(folder).join(" ")}`);
    for (const name of readdirSync(folder))
      if (name.startsWith(`${database}-`)) await host.must(["rm", `/var/lib/weave/${name}`]);
    writeFileSync(`${folder}/${database}`, "this is not a database, but it was somebody's");
    await launch(host);
    const aside = readdirSync(folder).filter((name) => name.includes(database) && name !== database);
    expect(aside.some((name) => readFileSync(`${folder}/${name}`, "utf8").includes("somebody's"))).toBe(true);
    expect((await host.mustWeave("status")).split("\n").slice(0, 6).join("\n")).toMatch(/database|damaged/i);
  });

  test("a damaged key is kept aside and told, never overwritten", async () => {
    const [host] = (await lab.addHosts("bad-key")) as [Host];
    await launch(host);
    await host.mustWeave("stop");
    const folder = host.file("/var/lib/weave");
    const key = readdirSync(folder).find((name) => /key|identity/.test(name));
    if (key === undefined) throw new Error(`no key in ${readdirSync(folder).join(" ")}`);
    writeFileSync(`${folder}/${key}`, "not a key");
    const finished = await host.weave("launch");
    const kept = readdirSync(folder).filter((name) => {
      const path = `${folder}/${name}`;
      if (!statSync(path).isFile()) return false;
      chmodSync(path, 0o600);
      return readFileSync(path, "utf8") === "not a key";
    });
    expect(kept.length).toBe(1);
    if (finished.code !== 0) complains(finished, FAILED, [/key/, new RegExp(key)], WITH_LOG);
    else expect(await host.mustWeave("status")).toMatch(/key/i);
  });

  test("a full disk is told, and nothing is half done", async () => {
    const { host, finished } = await launchAfter("full", async (full) => {
      await full.must(["sh", "-c", "mkdir -p /var/lib/weave && mount -t tmpfs -o size=64k tmpfs /var/lib/weave"]);
      await full.run(["sh", "-c", "dd if=/dev/zero of=/var/lib/weave/filler bs=1k count=100 2>/dev/null"]);
    });
    complains(finished, FAILED, [/\/var\/lib\/weave/, /space|full/i], WITH_LOG);
    expect(host.daemonPid()).toBeUndefined();
    await host.must(["rm", "/var/lib/weave/filler"]);
  });
});

test("after all of this the daemon is the one that was started", async () => {
  const status = await statusOf(h1);
  expect(status.ready).toBe(true);
  expect(status.pid).toBe(h1.daemonPid() ?? -1);
});
