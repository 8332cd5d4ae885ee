// SPDX-License-Identifier: Apache-2.0
// Containers that a client of the proxy creates: which of them are on the network, what their program finds, their restarts and ends. Real Docker.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { must } from "../../support/command.ts";
import { kill } from "../../support/processes.ts";
import { waitFor } from "../../support/wait.ts";
import { dockerMissing, IMAGE } from "../attach/dockerd.ts";
import { NOTHING, ProxyWorld } from "./world.ts";

const missing = dockerMissing();
if (missing !== undefined) console.warn(`skipped: Docker API proxy: ${missing}`);
const FLAGS = ["--ipalloc-range", "10.40.0.0/16", "--ipalloc-timeout", "2"];

describe.skipIf(missing !== undefined)("containers through the proxy", () => {
  let world: ProxyWorld;
  beforeAll(async () => {
    world = await ProxyWorld.start(...FLAGS);
  }, 90_000);
  // A test that failed leaves its containers to nobody.
  afterEach(async () => {
    const ids = (await world.must(["ps", "-aq"])).split("\n").filter((id) => id !== "");
    if (ids.length > 0) await world.must(["rm", "-f", ...ids]);
  }, 60_000);
  afterAll(async () => await world?.[Symbol.asyncDispose](), 60_000);

  const all = <Result>(...work: readonly Promise<Result>[]): Promise<Result[]> => Promise.all(work);
  /** Removes containers; nothing of them may be left. */
  const remove = async (...names: readonly string[]): Promise<void> => {
    await world.must(["rm", "-f", "-v", ...names]);
    await waitFor("nothing to be left", async () => Bun.deepEquals(await world.holdings(), NOTHING), {
      deadlineMs: 40_000,
      everyMs: 50,
      show: () => world.holdings(),
    });
  };
  const addressesOf = async (name: string): Promise<readonly string[]> =>
    (await world.attached()).get(await world.must(["inspect", "-f", "{{.Id}}", name])) ?? [];
  const pidOf = async (name: string): Promise<number> => Number(await world.must(["inspect", "-f", "{{.State.Pid}}", name]));
  /** The container is running anew, attached with these addresses, and called as before. */
  const isBack = async (name: string, pid: number, addresses: readonly string[]): Promise<void> => {
    await waitFor(
      `'${name}' to be back`,
      async () => ![0, pid].includes(await pidOf(name)) && Bun.deepEquals(await addressesOf(name), addresses),
      { deadlineMs: 30_000, everyMs: 100, show: async () => `${await pidOf(name)} ${await addressesOf(name)}` },
    );
    const lookup = await world.host.mustWeave("dns-lookup", `${name}.weave.local`);
    expect(lookup.trim().split("\n")).toEqual(addresses.map((address) => address.replace(/\/.*/, "")));
  };

  test("the first instruction of a program finds interface, route, names and hosts file, whoever it runs as", async () => {
    const look =
      "ip addr show ethwe; ip route; hostname -i; cat /etc/hosts; nslookup web.weave.local; ls /w; touch /w/x; echo $?";
    const said = await world.script(
      look,
      "--name",
      "web",
      "--add-host",
      "other:192.0.2.9",
      "--add-host",
      "gate:host-gateway",
      "--user",
      "1000",
    );
    const address = /inet (10\.40\.\d+\.\d+)\/16/.exec(said)?.[1] ?? "?";
    expect(said).toMatch(/ethwe.*UP/);
    expect(said).toContain("224.0.0.0/4 dev ethwe");
    expect(said).toContain(`\n${address}\n`); // hostname -i
    expect(said).toMatch(new RegExp(`^${address} +web\\.weave\\.local web$`, "m"));
    expect(said).toMatch(/^192\.0\.2\.9 +other$/m);
    expect(said).toMatch(/^172\.17\.0\.1 +gate$/m);
    expect(said).toContain(`Name:\tweb.weave.local\nAddress: ${address}`);
    expect(said).toEndWith("\nw\n1"); // the folder holds the waiter and cannot be written to
  }, 60_000);

  test("network mode and WEAVE_CIDR decide who is attached, and where", async () => {
    const cidr = (text: string): readonly string[] => ["-e", `WEAVE_CIDR=${text}`];
    await world.must(["network", "create", "other"]);
    await all(
      world.sleeper("plain"),
      world.must(["run", "-d", "--stop-timeout=0", "--name", "blank", ...cidr(""), `${IMAGE}:latest`, "sleep", "600"]),
      world.sleeper("chosen", ...cidr("10.41.0.1/24 ip:10.42.0.1/24")),
      world.sleeper("within", ...cidr("net:10.40.9.0/24 10.41.0.2/24")),
      world.sleeper("off", ...cidr("none")),
      world.sleeper("none", "--network", "none"),
      world.sleeper("host", "--network", "host"),
      world.sleeper("foreign", "--network", "other"),
    );
    await world.sleeper("joined", "--network", "container:plain");
    expect(await addressesOf("plain")).toEqual([expect.stringMatching(/^10\.40\..*\/16$/)]);
    expect(await addressesOf("blank")).toEqual([expect.stringMatching(/^10\.40\..*\/16$/)]);
    expect(await addressesOf("none")).toEqual([expect.stringMatching(/^10\.40\..*\/16$/)]);
    expect(await addressesOf("chosen")).toEqual(["10.41.0.1/24", "10.42.0.1/24"]);
    expect(await addressesOf("within")).toEqual([expect.stringMatching(/^10\.40\.9\..*\/24$/), "10.41.0.2/24"]);
    for (const name of ["off", "host", "foreign", "joined"]) {
      expect(await addressesOf(name)).toEqual([]);
      expect(await world.must(["inspect", "-f", "{{.Config.Entrypoint}} {{.HostConfig.Binds}}", name])).toBe("[] []");
    }
    const [address = ""] = await addressesOf("none");
    expect(await world.must(["exec", "joined", "ping", "-c1", "-W2", address.replace(/\/.*/, "")])).toContain(
      "1 packets received",
    );
    await remove("plain", "blank", "chosen", "within", "off", "none", "host", "foreign", "joined");
  }, 90_000);

  test("entry points and commands are run as Docker would run them", async () => {
    const run = async (...words: readonly string[]) => {
      const { code, stdout, stderr } = await world.docker("run", "--rm", "--log-driver=none", ...words);
      return `${code} ${stdout.trim()}${/exec: .*/.exec(stderr)?.[0] ?? ""}`;
    };
    const outcomes = await all(
      run(IMAGE, "cat", "/proc/self/cmdline"),
      run("--entrypoint", "cat", IMAGE, "/proc/self/cmdline"),
      run("--entrypoint", "", IMAGE, "cat", "/proc/self/cmdline"),
      run("--init", IMAGE, "sh", "-c", "exit 7"),
      run(IMAGE, "no-such"),
      run(IMAGE, "/etc"),
      run(IMAGE),
    );
    const cat = "0 cat\0/proc/self/cmdline\0";
    const refused = ['127 exec: "no-such": executable file not found in $PATH', '126 exec: "/etc": permission denied', "125 "];
    expect(outcomes).toEqual([cat, cat, cat, "7 ", ...refused]);

    // Who has something of its own at /w keeps it.
    await world.must(["run", "--rm", "-v", "own:/w", IMAGE, "sh", "-c", "ip link show ethwe >/w/data"]);
    const shown = await run("-v", "own:/w:ro", IMAGE, "sh", "-c", "cat /w/data; ls /weave-wait; ip link show ethwe");
    expect(shown).toMatch(/^0 .*ethwe.*\n.*\nw\n.*ethwe.*UP/);
    await world.must(["volume", "rm", "own"]);

    // An image of such a container waits once, and not at all where nothing would end the wait.
    await world.must(["run", "--name", "source", IMAGE, "cat", "/proc/self/cmdline"]);
    await world.must(["commit", "source", "committed"]);
    expect(await run("committed")).toBe(cat);
    expect(await run("-e", "WEAVE_CIDR=none", "committed")).toBe(cat);
    expect(await run("--network", "host", "committed", "sh", "-c", "exit 3")).toBe("3 ");
    await remove("source");
  }, 90_000);

  test("what cannot be is refused with its cause, and leaves nothing", async () => {
    const refusal = async (...flags: readonly string[]): Promise<string> => {
      const { code, stderr } = await world.docker("run", "-d", ...flags, IMAGE, "sleep", "600");
      expect(code).toBe(125);
      return stderr;
    };
    expect(await refusal("--name", "bad", "-e", "WEAVE_CIDR=10.41.0.1")).toContain("'10.41.0.1' has no prefix length");
    expect((await world.docker("inspect", "bad")).code).toBe(1);
    await world.sleeper("first", "-e", "WEAVE_CIDR=10.41.0.1/24");
    expect(await refusal("--name", "second", "-e", "WEAVE_CIDR=10.41.0.1/24")).toContain(
      "10.41.0.1: it is held by 'first' on this host",
    );
    expect(await world.must(["inspect", "-f", "{{.State.Running}}", "second"])).toBe("false");
    await all(
      world.sleeper("full1", "-e", "WEAVE_CIDR=net:10.40.8.0/30"),
      world.sleeper("full2", "-e", "WEAVE_CIDR=net:10.40.8.0/30"),
    );
    expect(await refusal("--name", "full3", "-e", "WEAVE_CIDR=net:10.40.8.0/30")).toContain(
      "no address is free in 10.40.8.1-10.40.8.2: all 2 are in use",
    );
    expect(await refusal("-v", "/tmp:/w", "--tmpfs", "/weave-wait/x")).toContain("the container uses '/w' and '/weave-wait'");
    expect((await world.docker("start", "no-such")).stderr).toContain("No such container: no-such");
    await remove("first", "second", "full1", "full2", "full3");
  }, 90_000);

  test("containers that end or are removed while they start leave nothing", async () => {
    const names = Array.from({ length: 8 }, (_, index) => `short${index}`);
    await all(
      ...names.map(async (name, index) => {
        await world.must(["create", "--name", name, IMAGE, "true"]);
        await all(world.docker("start", name), index % 2 ? world.docker("rm", "-f", name) : Promise.resolve(undefined));
      }),
    );
    await remove(...names);
  }, 90_000);

  test("a restart keeps address and name: by a client, by Docker itself, while weave is away", async () => {
    await world.sleeper("steady", "--restart", "always");
    const addresses = await addressesOf("steady");
    expect(addresses.length).toBe(1);
    let pid = await pidOf("steady");
    await world.must(["restart", "-t", "0", "steady"]);
    await isBack("steady", pid, addresses);
    pid = await pidOf("steady");
    kill(pid, "SIGKILL");
    await isBack("steady", pid, addresses);

    pid = await pidOf("steady");
    await world.host.killDaemon();
    kill(pid, "SIGKILL");
    const engine = (...words: readonly string[]): Promise<string> => must([...world.engine.command, ...words]);
    await waitFor(
      "Docker to start it again",
      async () => ![0, pid].includes(Number(await engine("inspect", "-f", "{{.State.Pid}}", "steady"))),
      {
        everyMs: 50,
      },
    );
    const waiting = Number(await engine("inspect", "-f", "{{.State.Pid}}", "steady"));
    expect(await Bun.file(`/proc/${waiting}/cmdline`).text()).toStartWith("/w/w\0");
    await world.launch(...FLAGS);
    await isBack("steady", pid, addresses);
    expect(await pidOf("steady")).toBe(waiting);
    await waitFor("its program to run", async () => (await Bun.file(`/proc/${waiting}/cmdline`).text()).startsWith("/bin/sleep"));
    await remove("steady");
  }, 90_000);

  test("whom nobody waits for waits until it can be attached", async () => {
    await world.sleeper("holder", "-e", "WEAVE_CIDR=10.45.0.1/24");
    await world.must([
      "create",
      "--name",
      "heir",
      "--stop-timeout=0",
      "-e",
      "WEAVE_CIDR=10.45.0.1/24",
      IMAGE,
      "/bin/sleep",
      "600",
    ]);
    await must([...world.engine.command, "start", "heir"]); // past the proxy, as a restart policy would
    const pid = await pidOf("heir");
    await waitFor("weave to say so", async () => (await world.host.daemonLog()).includes("container waits to be attached"), {
      deadlineMs: 20_000,
    });
    expect(await Bun.file(`/proc/${pid}/cmdline`).text()).toStartWith("/w/w\0");
    await world.must(["rm", "-f", "holder"]);
    await waitFor("its program to run", async () => (await Bun.file(`/proc/${pid}/cmdline`).text()).startsWith("/bin/sleep"), {
      deadlineMs: 40_000,
      everyMs: 50,
    });
    expect(await addressesOf("heir")).toEqual(["10.45.0.1/24"]);
    await remove("heir");
  }, 90_000);

  test("fifty at once all start, each with its own address", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `many${index}`);
    await all(
      ...names.map((name) =>
        world.must(["run", "-d", "--stop-timeout=0", "--name", name, IMAGE, "sleep", "600"], { deadlineMs: 120_000 }),
      ),
    );
    const attached = [...(await world.attached()).values()].flat();
    expect([attached.length, new Set(attached).size]).toEqual([50, 50]);
    await remove(...names);
  }, 240_000);

  test("weave run, start and restart of old", async () => {
    const { host } = world;
    const id = (await host.mustWeave("run", "10.43.0.1/24", "--name", "old", "--stop-timeout=0", IMAGE, "sleep", "600")).trim();
    expect((await world.attached()).get(id)).toEqual(["10.43.0.1/24"]);
    expect(await world.must(["exec", "old", "cat", "/etc/hosts"])).toContain("10.43.0.1");
    expect((await host.mustWeave("restart", "old")).trim()).toBe("old");
    expect((await world.attached()).get(id)).toEqual(["10.43.0.1/24"]);
    await world.must(["kill", "old"]);
    await host.mustWeave("start", "10.43.0.2/24", "old");
    expect((await world.attached()).get(id)).toEqual(["10.43.0.2/24"]);
    const refused = await host.weave("run", "10.43.0.2/24", "--name", "newer", "--stop-timeout=0", IMAGE, "sleep", "600");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("10.43.0.2: it is held by 'old'")]);
    expect(await world.must(["inspect", "-f", "{{.State.Running}}", "newer"])).toBe("false");
    await remove("old", "newer");
  }, 60_000);

  test("options of the proxy: names from labels, inspect, no default address, no multicast, hosts as Docker makes them", async () => {
    await world.host.mustWeave("stop");
    await world.launch(
      ...[...FLAGS, "--rewrite-inspect", "--no-default-ipalloc", "--no-multicast-route", "--no-rewrite-hosts"],
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as Go writes it
      ...["--hostname-from-label", "app", "--hostname-match", "^(?P<kind>[a-z]+)-.*$", "--hostname-replacement", "${kind}s"],
    );
    const label = ["--label", "app=db-17"];
    await all(
      world.sleeper("unasked"),
      world.sleeper("asked", "-e", "WEAVE_CIDR=", ...label),
      world.sleeper("mine", "-h", "own.weave.local", "-e", "WEAVE_CIDR=", ...label),
    );
    expect(await addressesOf("unasked")).toEqual([]);
    const [address = ""] = await addressesOf("asked");
    const { NetworkSettings: shown } = JSON.parse(await world.must(["inspect", "-f", "{{json .}}", "asked"])) as {
      NetworkSettings: { IPAddress: string; IPPrefixLen: number; MacAddress: string };
    };
    expect(`${shown.IPAddress}/${shown.IPPrefixLen}`).toBe(address);
    expect(await world.must(["exec", "asked", "ip", "link", "show", "ethwe"])).toContain(shown.MacAddress);
    expect(await world.must(["exec", "asked", "ip", "route"])).not.toContain("224.0.0.0");
    expect(await world.must(["exec", "asked", "cat", "/etc/hosts"])).not.toContain("weave: begin");
    expect(await world.must(["exec", "asked", "hostname"])).toBe("dbs");
    expect(await world.must(["exec", "mine", "nslookup", "dbs.weave.local"])).toContain(address.replace(/\/.*/, ""));
    expect((await world.host.mustWeave("dns-lookup", "own.weave.local")).trim()).not.toBe("");
    await remove("unasked", "asked", "mine");
  }, 60_000);
});
