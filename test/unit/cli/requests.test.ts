// SPDX-License-Identifier: Apache-2.0
// Commands against a daemon: what it is asked, what is printed, and the exit code.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connectionStatus, pingResponse, statusModel } from "../api/fake-backend.ts";
import { FakeDaemon, runLine } from "./fake-cli.ts";

let daemon: FakeDaemon;
beforeAll(async () => {
  daemon = await FakeDaemon.start();
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});
beforeEach(() => {
  daemon.backend.calls.length = 0;
  daemon.backend.model = statusModel();
  daemon.backend.entries = [];
});

const SILENT = { code: 0, out: "", err: "" };

describe("connect and forget", () => {
  test("connect asks for each peer and prints nothing", async () => {
    expect(await daemon.run("connect", "host1", "[2001:db8::1]:6783")).toEqual(SILENT);
    expect(daemon.backend.calls).toEqual([["connect", ["host1", "[2001:db8::1]:6783"], { replace: false }]]);
  });
  test("connect --replace may stand behind the peers, and without any peer clears the list", async () => {
    expect(await daemon.run("connect", "host1", "--replace")).toEqual(SILENT);
    expect(await daemon.run("connect", "--replace")).toEqual(SILENT);
    expect(daemon.backend.calls).toEqual([
      ["connect", ["host1"], { replace: true }],
      ["connect", [], { replace: true }],
    ]);
  });
  test("connect without anything is wrong usage", async () => {
    const { code, err } = await daemon.run("connect");
    expect(code).toBe(1);
    expect(err).toContain("weave connect: <peer> is missing");
    expect(err).toContain("Usage: weave connect [flags] [<peer>...]\n");
  });
  test("connect tells each bad peer and exits 1", async () => {
    const { code, out, err } = await daemon.run("connect", "good", "bad1", "bad2");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toBe("weave connect: cannot use peer 'bad1'\nweave connect: cannot use peer 'bad2'\n");
  });
  test("forget needs a peer", async () => {
    expect(await daemon.run("forget", "host1")).toEqual(SILENT);
    expect((await daemon.run("forget")).code).toBe(1);
    expect(daemon.backend.calls).toEqual([["forget", ["host1"]]]);
  });
});

describe("attach and detach", () => {
  const request = {
    target: "web",
    tap: false,
    noMulticastRoute: false,
    noSpoofCheck: false,
    rewriteHosts: false,
    addHosts: [],
    withoutDns: false,
  };

  test("addresses before or behind the flags and the container, printed without prefix lengths", async () => {
    for (const argv of [
      ["10.2.1.1/24", "ip:10.2.2.1/24", "--no-multicast-route", "web"],
      ["--no-multicast-route", "10.2.1.1/24", "ip:10.2.2.1/24", "web"],
      ["web", "10.2.1.1/24", "ip:10.2.2.1/24", "--no-multicast-route"],
    ]) {
      expect(await daemon.run("attach", ...argv)).toEqual({ ...SILENT, out: "10.2.1.1 ip:10.2.2.1\n" });
    }
    const addresses = ["10.2.1.1/24", "ip:10.2.2.1/24"];
    expect(daemon.backend.calls).toEqual(new Array(3).fill(["attach", { ...request, addresses, noMulticastRoute: true }]));
  });
  test("hosts lines are passed on and checked", async () => {
    const argv = ["10.2.1.1/24", "--rewrite-hosts", "--add-host", "db:10.2.1.9", "--add-host=x:fd00::1", "web"];
    expect((await daemon.run("attach", ...argv)).code).toBe(0);
    expect(daemon.backend.calls[0]).toEqual([
      "attach",
      { ...request, addresses: ["10.2.1.1/24"], rewriteHosts: true, addHosts: ["db:10.2.1.9", "x:fd00::1"] },
    ]);
    const bad = await daemon.run("attach", "10.2.1.1/24", "--add-host", "nonsense", "web");
    expect(bad).toMatchObject({ code: 1, err: "weave attach: invalid value 'nonsense' for --add-host; write name:ip\n" });
  });
  test("lines that would not be written are warned of", async () => {
    expect(await daemon.run("attach", "10.2.1.1/24", "--add-host", "db:10.2.1.9", "web")).toEqual({
      code: 0,
      out: "10.2.1.1\n",
      err: "weave attach: warning: --add-host has no effect without --rewrite-hosts\n",
    });
  });
  test.each([
    ["10.2.1.1", "10.2.1.1/24"],
    ["fd00::1", "fd00::1/64"],
  ])("an address without prefix length is told as what it is: %s", async (address, proposal) => {
    for (const words of [
      ["attach", address, "web"],
      ["detach", "web", address],
    ] as const) {
      const { code, err } = await daemon.run(...words);
      expect([code, err.split("\n")[0]]).toEqual([
        1,
        `weave ${words[0]}: '${address}' has no prefix length; write for example ${proposal}`,
      ]);
    }
    expect(daemon.backend.calls).toEqual([]);
  });
  test("a container whose name reads like an address is one", async () => {
    await daemon.run("attach", "10.2.1.1/24", "10.2.1.7");
    expect(daemon.backend.calls[0]).toMatchObject(["attach", { target: "10.2.1.7", addresses: ["10.2.1.1/24"] }]);
  });
  test("a path is a container, not an address", async () => {
    await daemon.run("attach", "10.2.1.1/24", "/run/netns/c1");
    expect(daemon.backend.calls[0]).toEqual(["attach", { ...request, target: "/run/netns/c1", addresses: ["10.2.1.1/24"] }]);
  });
  test("--tap names the device, so no container is expected", async () => {
    await daemon.run("attach", "--tap", "vm1", "10.2.1.1/24");
    expect(daemon.backend.calls[0]).toEqual(["attach", { ...request, target: "vm1", tap: true, addresses: ["10.2.1.1/24"] }]);
  });
  test("a badly written address goes to the daemon, which knows why", async () => {
    await daemon.run("attach", "10.2.1.300/24", "web");
    expect(daemon.backend.calls[0]).toMatchObject(["attach", { target: "web", addresses: ["10.2.1.300/24"] }]);
  });
  test("two containers are refused before the daemon is asked", async () => {
    const { code, err } = await daemon.run("attach", "10.2.1.1/24", "web", "db");
    expect(code).toBe(1);
    expect(err).toContain("'web' is not an address; only one container at a time");
    expect(daemon.backend.calls).toEqual([]);
  });
  test("the daemon's refusal arrives with its hint", async () => {
    const refused = {
      code: 1,
      out: "",
      err: "weave attach: cannot attach container 'bad1': it is not running; start it first\n",
    };
    expect(await daemon.run("attach", "10.2.1.1/24", "bad1")).toEqual(refused);
  });
  test("a bug of the daemon is an error like any other", async () => {
    const failed = { code: 1, out: "", err: "weave attach: x is not a function\n" };
    expect(await daemon.run("attach", "10.2.1.1/24", "crash")).toEqual(failed);
  });
  test("detach without addresses takes all; nothing attached prints an empty line", async () => {
    expect(await daemon.run("detach", "web")).toEqual({ ...SILENT, out: "\n" });
    expect(daemon.backend.calls).toEqual([["detach", { target: "web", tap: false, addresses: [] }]]);
  });
  test("warnings of the daemon go to stderr, the addresses to stdout all the same", async () => {
    expect(await daemon.run("attach", "10.200.0.1/24", "web")).toEqual({
      code: 0,
      out: "10.200.0.1\n",
      err: "weave attach: warning: 10.200.0.1/24 overlaps a route of the host\n",
    });
  });
  test("--json wraps the addresses with their prefix lengths", async () => {
    const { out } = await daemon.run("attach", "--json", "10.2.1.1/24", "web");
    expect(JSON.parse(out)).toEqual({ apiVersion: 1, addresses: ["10.2.1.1/24"], warnings: [] });
  });
});

describe("expose, hide, ps, rmpeer", () => {
  test("expose and hide print the addresses", async () => {
    expect(await daemon.run("expose", "10.2.1.254/24", "--without-masquerade")).toEqual({ ...SILENT, out: "10.2.1.254\n" });
    expect(await daemon.run("hide", "10.2.1.254/24")).toEqual({ ...SILENT, out: "10.2.1.254\n" });
    expect(daemon.backend.calls).toEqual([
      ["expose", { addresses: ["10.2.1.254/24"], masquerade: false }],
      ["hide", ["10.2.1.254/24"]],
    ]);
  });
  test("attach-bridge means docker0, DOCKER_BRIDGE or the word, and prints nothing", async () => {
    expect(await daemon.run("attach-bridge")).toEqual(SILENT);
    expect(await daemon.run("attach-bridge", "br0")).toEqual(SILENT);
    expect(await daemon.run("attach-bridge", "--remove", "br0")).toEqual(SILENT);
    expect(daemon.backend.calls).toEqual([
      ["joinBridge", "docker0"],
      ["joinBridge", "br0"],
      ["leaveBridge", "br0"],
    ]);
  });
  test("expose -h is a name, not help", async () => {
    expect((await daemon.run("expose", "-h", "host.weave.local", "10.2.1.254/24")).code).toBe(0);
    const request = { addresses: ["10.2.1.254/24"], masquerade: true, fqdn: "host.weave.local" };
    expect(daemon.backend.calls.at(-1)).toEqual(["expose", request]);
  });
  test("ps prints id, MAC and addresses with single spaces", async () => {
    daemon.backend.entries = [
      { id: "weave:expose", asked: null, mac: "8a:3e:3e:3e:3e:3e", addresses: ["10.2.1.254/24"] },
      { id: "a".repeat(64), asked: null, mac: "02:00:00:00:00:01", addresses: ["10.2.1.1/24", "10.2.2.1/24"] },
      { id: "b".repeat(64), asked: "a-name-longer-than-twelve", mac: "02:00:00:00:00:02", addresses: [] },
      { id: "netns:/run/netns/c1", asked: null, mac: "02:00:00:00:00:03", addresses: ["10.2.1.3/24"] },
    ];
    expect((await daemon.run("ps")).out).toBe(
      "weave:expose 8a:3e:3e:3e:3e:3e 10.2.1.254/24\n" +
        "aaaaaaaaaaaa 02:00:00:00:00:01 10.2.1.1/24 10.2.2.1/24\n" +
        "a-name-longe 02:00:00:00:00:02\n" +
        "netns:/run/netns/c1 02:00:00:00:00:03 10.2.1.3/24\n",
    );
    expect((await daemon.run("ps", "web", "db")).code).toBe(0);
    expect(daemon.backend.calls.at(-1)).toEqual(["ps", ["web", "db"]]);
  });
  test("rmpeer --revoke tells what it did for each", async () => {
    expect(await daemon.run("rmpeer", "--revoke", "hostB", "hostC")).toEqual({
      ...SILENT,
      out: "hostB revoked\nhostC revoked\n",
    });
    expect(daemon.backend.calls).toEqual([
      ["removePeer", "hostB", true],
      ["removePeer", "hostC", true],
    ]);
  });
  test("rmpeer without anything to take over succeeds and says so", async () => {
    expect(await daemon.run("rmpeer", "hostB")).toEqual({
      ...SILENT,
      err: "weave rmpeer: nothing to take over from 'hostB': addresses are not allocated here\n",
    });
  });
  test("a peer's name may hold what a path must escape", async () => {
    await daemon.run("rmpeer", "--revoke", "a/b c%");
    expect(daemon.backend.calls).toEqual([["removePeer", "a/b c%", true]]);
  });
});

describe("ping", () => {
  test("asks for five rounds, or as many as wanted", async () => {
    expect(await daemon.run("ping", "hostB")).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringContaining("(hostB): 1 hop\n"),
    });
    expect((await daemon.run("ping", "-c", "1", "--size", "1430", "10.9.9.2:6783")).code).toBe(0);
    expect(daemon.backend.calls).toEqual([
      ["ping", "hostB", 5, undefined],
      ["ping", "10.9.9.2:6783", 1, 1430],
    ]);
  });
  test("exits 1 when no data path answers, with the same text", async () => {
    daemon.backend.pinged = pingResponse({ answered: false });
    expect(await daemon.run("ping", "hostB")).toMatchObject({ code: 1, err: "", out: expect.stringContaining("1 hop") });
    daemon.backend.pinged = pingResponse();
  });
  test("an unknown peer and a bad count are told", async () => {
    const unknown = "weave ping: no peer 'badname' is known; see 'weave status peers'\n";
    expect(await daemon.run("ping", "badname")).toEqual({ code: 1, out: "", err: unknown });
    for (const count of ["0", "101", "many", "-1"]) {
      expect((await daemon.run("ping", "-c", count, "hostB")).err).toStartWith(
        `weave ping: invalid value '${count}' for --count`,
      );
    }
    for (const size of ["0", "65001", "full", "-1"]) {
      expect((await daemon.run("ping", "--size", size, "hostB")).err).toStartWith(
        `weave ping: invalid value '${size}' for --size`,
      );
    }
  });
  test("--json is the daemon's answer itself", async () => {
    const { out } = await daemon.run("ping", "--json", "hostB");
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(pingResponse())));
  });
});

describe("status and report", () => {
  test("status is framed by blank lines, its pages are not", async () => {
    const { code, out } = await daemon.run("status");
    expect(code).toBe(0);
    expect(out).toStartWith("\n        Version: 3.0.0 (");
    expect(out).toEndWith(" TrustedSubnets: none\n\n");
    expect((await daemon.run("status", "targets")).out).toBe("10.9.9.1\nhostb:6783\n");
  });
  test("status --json is the model itself", async () => {
    expect(JSON.parse((await daemon.run("status", "--json")).out)).toEqual(JSON.parse(JSON.stringify(statusModel())));
    const { out } = await daemon.run("status", "connections", "--json");
    expect(JSON.parse(out)).toMatchObject({ apiVersion: 1, connections: [{ state: "established" }, { state: "failed" }] });
  });
  test("a daemon that is not ready is told on stderr with exit 1", async () => {
    daemon.backend.model = statusModel({ ready: false });
    const { code, out, err } = await daemon.run("status");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("the daemon is not ready yet");
  });
  test("an unknown page is wrong usage, one of a later service says so", async () => {
    expect(await daemon.run("status", "peer")).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("did you mean 'peers'"),
    });
    expect((await daemon.run("status", "dns")).err).toContain("there is no name service on this host");
  });
  test("report prints JSON without a newline at its end, with 64-bit numbers whole", async () => {
    const { out } = await daemon.run("report");
    expect(out).toStartWith('{\n    "Ready": true,\n');
    expect(out).toEndWith("}");
    expect(out).toContain('"UID": 18446744073709551361');
  });
  test("report -f prints exactly what the template says", async () => {
    const template = '{{.Router.NickName}}:{{range .Router.Targets}}{{.}}{{"\\n"}}{{end}}';
    expect((await daemon.run("report", "-f", template)).out).toBe("nicknamington:10.9.9.1\nhostb:6783\n");
  });
  test("a bad template is an error with Go's words", async () => {
    const { code, err } = await daemon.run("report", "--format={{.Nope}}");
    expect(code).toBe(1);
    expect(err).toContain('template: report:1:2: executing "report" at <.Nope>: can\'t evaluate field Nope');
  });
  test("the reason of a connection without a data path is quoted", async () => {
    const reason = "a password is set, no encrypted transport";
    daemon.backend.model = statusModel({
      router: {
        connections: [connectionStatus({ overlay: "none", state: "pending", passwordUsed: true, reason, mtuBytes: null })],
      },
    });
    expect((await daemon.run("status", "connections")).out).toBe(
      "<- 10.9.9.2:49973        pending     unencrypted none   8a:3e:3e:3e:3e:4f(hostB) " +
        `reason="${reason}" since="2026-11-21 07:00:00 +0000 UTC"\n`,
    );
  });
});

describe("without a daemon", () => {
  const NOWHERE = { WEAVE_HTTP_ADDR: "/nonexistent/api.sock" };

  test.each([
    "connect host1",
    "forget host1",
    "report",
    "expose 10.2.1.1/24",
    "hide 10.2.1.1/24",
    "attach 10.2.1.1/24 web",
    "ps",
  ])("%s exits 7 and says how to start it", async (line) => {
    const argv = line.split(" ");
    const { code, out, err } = await runLine(NOWHERE, ...argv);
    expect([code, out]).toEqual([7, ""]);
    expect(err).toBe(
      `weave ${argv[0]}: weave is not running on this host: nothing answers on /nonexistent/api.sock; start it with 'weave launch'\n`,
    );
  });
  test("status exits 1", async () => {
    expect(await runLine(NOWHERE, "status")).toMatchObject({ code: 1, out: "", err: expect.stringContaining("'weave launch'") });
  });
  test("version needs none", async () => {
    expect(await runLine(NOWHERE, "version", "--verbose")).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /^weave 3\.0\.0-test\ndaemon not running\nruntime Bun \S+\nkernel Linux (.*\n)+libbpf libbpf\.so\.1\n/,
      ),
    });
  });
  test("an address that cannot be read is named", async () => {
    expect((await runLine({ WEAVE_HTTP_ADDR: "nonsense" }, "ps")).err).toContain("cannot read WEAVE_HTTP_ADDR 'nonsense'");
  });
  test("a daemon without the operation makes exit 4", async () => {
    await using old = await FakeDaemon.start({ readOnly: true });
    const { code, err } = await old.run("connect", "host1");
    expect(code).toBe(4);
    expect(err).toContain("the daemon does not offer '/connect'");
  });
});
