// SPDX-License-Identifier: Apache-2.0
// The Debian package on two real hosts: installed, started, upgraded under traffic, rebooted, removed and purged, as an administrator does.
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "../support/command.ts";
import { Flood } from "../support/flood.ts";
import type { Place } from "../support/lab-host.ts";
import { StreamRun } from "../support/traffic.ts";
import { waitFor } from "../support/wait.ts";
import { hasRelease, type Machine, Machines, RELEASES, whyNoHosts } from "./machine.ts";

const why = whyNoHosts();
const VERSIONS = ["3.0.0~alpha.1", "3.0.0~alpha.2"] as const;
const [OLDER, NEWER] = VERSIONS;

/** They have the one before. */
const HAS_NO_LIBBPF_1: ReadonlySet<string> = new Set(["debian11", "ubuntu2204"]);

/** What of a host weave may change; everything else must be as before when it has gone. */
const STATE = `ip -d -o link show | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/qlen [0-9]+//'; ip -4 route; ip -6 rule; nft list ruleset; find /sys/fs/bpf -mindepth 1
  find /etc /run/weave /var/lib/weave /usr -xdev -newermt '2000-01-01' -path '*weave*' 2>/dev/null; getent group weave || true`;

const hosts = why === undefined ? describe : () => undefined;
hosts("the package", () => {
  let directory: string;
  let machines: Machines;
  let h1: Machine;
  let h2: Machine;
  let untouched: string;
  let debian13: Machine | undefined;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "weave-deb-"));
    for (const version of VERSIONS) {
      const options = ["--arch", "x64", "--only", "deb", "--quick", "--version", version, "--directory", directory];
      await must([process.execPath, "packaging/package.ts", ...options], { deadlineMs: 120_000 });
    }
    machines = await Machines.boot("h1", "h2");
    [h1, h2] = machines.all as [Machine, Machine];
    untouched = await h1.sh(STATE);
    for (const machine of machines.all) {
      for (const version of VERSIONS) await machine.put(join(directory, `weave_${version}_amd64.deb`), `/root/${version}.deb`);
    }
  }, 180_000);
  afterAll(async () => {
    await machines?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  const install = (machine: Machine, version: string) => machine.sh(`dpkg -i /root/${version}.deb 2>&1`);
  const reaches = async (from: Machine, address: string) => (await from.run(`ping -c1 -W1 ${address}`)).code === 0;
  async function waitUntilReached(from: Machine, address: string): Promise<void> {
    const show = async () => (await from.run("weave status connections; ip -br addr show weave")).stdout;
    await waitFor(`${from.name} to reach ${address}`, () => reaches(from, address), { deadlineMs: 20_000, show });
  }
  /** Pings all the time while something happens. Returns what got lost. */
  async function lostDuring(happens: () => Promise<unknown>): Promise<number> {
    const log = "/run/ping.log";
    await h2.sh(`ping -i 0.01 -q 10.32.9.1 >${log} 2>&1 & echo $! >/run/ping.pid`);
    await happens();
    await h2.sh("kill -INT $(cat /run/ping.pid)");
    const { found } = await waitFor("the summary", async () =>
      /(\d+) packets transmitted, (\d+) received/.exec(await h2.sh(`cat ${log}`)),
    );
    expect(Number(found[1])).toBeGreaterThan(5);
    return Number(found[1]) - Number(found[2]);
  }

  test("installs what a service needs, and starts nothing by itself", async () => {
    await Promise.all([h1, h2].map((machine) => install(machine, OLDER)));
    expect((await h1.run("systemctl is-active weave")).stdout.trim()).toBe("inactive");
    expect(await h1.sh("getent group weave")).toMatch(/^weave:/);
    expect(await h1.sh("stat -c '%a %U' /var/lib/weave /etc/weave/weave.toml")).toBe("700 root\n600 root\n");
    expect((await h1.run("systemd-analyze verify --man=no /usr/lib/systemd/system/weave.service")).stderr).not.toMatch(
      /weave\.service/,
    );
    expect(await h1.sh("weave version")).toMatch(/^weave 3\./);
  });

  test("is started by systemctl, connected and exposed: the hosts reach each other", async () => {
    await Promise.all(machines.all.map((machine) => machine.sh("systemctl enable --now weave")));
    expect(await h1.sh("stat -c '%a %G' /run/weave/api.sock")).toBe("660 weave\n");
    await h2.sh(`weave connect ${h1.address}`);
    await h1.sh("weave expose 10.32.9.1/24");
    await h2.sh("weave expose 10.32.9.2/24");
    await waitUntilReached(h2, "10.32.9.1");
    expect(await h1.sh("systemctl show -p Type weave")).toBe("Type=notify\n");
    // Members of the group may ask it, others may not.
    await h1.sh("useradd -M -G weave member; useradd -M stranger");
    expect(await h1.sh("setpriv --reuid member --init-groups weave forget 192.0.2.1")).toBe("");
    expect((await h1.run("setpriv --reuid stranger --init-groups weave forget 192.0.2.1")).stderr).toMatch(/no permission/);
  });

  test("is confined as far as its work allows, and a tap can be made all the same", async () => {
    const exposure = /exposure level for weave.service: ([\d.]+)/.exec(await h1.sh("systemd-analyze security weave --no-pager"));
    expect(Number(exposure?.[1])).toBeLessThanOrEqual(3.5);
    await h1.sh("weave attach --tap vm1 10.32.9.7/24");
    expect(await h1.sh("ip -br link show vm1")).toContain("vm1");
    await h1.sh("weave detach --tap vm1; ip netns add box; weave attach 10.32.9.8/24 /run/netns/box");
    expect(await h1.sh("ip netns exec box ping -c1 -W2 10.32.9.1")).toContain(" 0% packet loss");
    await h1.sh("weave detach /run/netns/box");
    // An address that is chosen, and a name.
    const address = (await h1.sh("weave attach /run/netns/box")).trim();
    expect(address).toMatch(/^10\.\d+\.\d+\.\d+$/);
    expect(await h1.sh("weave dns-lookup box")).toBe(`${address}\n`);
    await waitFor("the name on the other host", async () => (await h2.run("weave dns-lookup box")).stdout === `${address}\n`);
    await h1.sh("weave detach /run/netns/box; ip netns del box");
  });

  test("restart, kill, upgrade and downgrade under bulk traffic lose no frame and break no flow, and the peers of `connect` stay", async () => {
    const pidOf = async (machine: Machine) => (await machine.sh("systemctl show -p MainPID --value weave")).trim();
    const ready = (machine: Machine) =>
      waitFor("the service", async () => (await machine.run("weave status")).code === 0, { deadlineMs: 20_000, everyMs: 100 });
    const [box1, box2] = [h1, h2].map((machine) => ({ netns: `${machine.files}/run/netns/bulk` }) as Place) as [Place, Place];
    await Promise.all([
      h1.sh("ip netns add bulk; weave attach 10.32.9.11/24 /run/netns/bulk"),
      h2.sh("ip netns add bulk; weave attach 10.32.9.12/24 /run/netns/bulk"),
    ]);
    const streams = [await StreamRun.start(box1, box2, "10.32.9.12"), await StreamRun.start(box2, box1, "10.32.9.11")];
    const flood = await Flood.start(box2, box1, "10.32.9.11");
    const lost = await lostDuring(async () => {
      await h1.sh("systemctl restart weave");
      const before = await pidOf(h1);
      await h1.sh(`kill -9 ${before}`);
      await waitFor("another process", async () => !["0", before].includes(await pidOf(h1)), { deadlineMs: 20_000 });
      await ready(h1);
      for (const version of [NEWER, OLDER, NEWER]) {
        await install(h1, version);
        await ready(h1);
        expect(await h1.sh("dpkg -s weave")).toContain(`Version: ${version}\n`);
      }
      await install(h2, NEWER);
      await ready(h2);
    });
    for (const stream of streams) await stream.more(1 << 20);
    const { sent, ...bad } = await flood.stop();
    expect(sent).toBeGreaterThan(1_000);
    expect({ pings: lost, ...bad }).toEqual({ pings: 0, lost: 0, duplicates: 0 });
    for (const stream of streams) expect(stream.stop()).toMatchObject({ broken: false, damagedAt: undefined });
    for (const machine of [h1, h2]) await machine.sh("weave detach /run/netns/bulk; ip netns del bulk");
    await waitFor("the connection", async () => /established/.test(await h2.sh("weave status connections")), {
      deadlineMs: 20_000,
    });
  });

  test("the host's own services leave its links alone", async () => {
    const links = "ip -o link show | grep -E 'weave|vethwe|vxlan' | sed 's/^[0-9]*: //'";
    const before = await h1.sh(links);
    const lost = await lostDuring(async () => {
      await h1.sh("systemctl restart systemd-networkd systemd-udevd && udevadm trigger --subsystem-match=net && udevadm settle");
      await h1.sh("systemctl daemon-reexec; sysctl --system >/dev/null");
    });
    expect(lost).toBe(0);
    expect(await h1.sh(links)).toBe(before);
  });

  test("what launch was given wins over weave.toml, is shown with its origin, and after a reboot everything is back without hands", async () => {
    await h2.sh("systemctl disable weave; weave stop");
    await h2.sh('printf \'nickname = "second"\\nlog-level = "warning"\\n\' >/etc/weave/weave.toml');
    const { stderr } = await h2.run(`weave launch --log-level debug ${h1.address}`);
    expect(stderr).toBe("weave launch: it is not started at the next boot; for that: systemctl enable weave\n");
    await h2.sh("systemctl enable weave");
    await h2.sh("weave connect 192.168.48.99; weave forget 192.168.48.99; weave connect 192.168.48.98");
    for (const turn of ["before", "after"]) {
      expect(await h2.sh("systemctl is-active weave")).toBe("active\n");
      const { Config, Router } = JSON.parse(await h2.sh("weave report"));
      expect([turn, Config.nickname, Config.logLevel]).toEqual([turn, "second", "debug"]);
      expect(Config.origins).toEqual({ nickname: "config", logLevel: "launch" });
      expect(Router.Targets).toEqual([h1.address, "192.168.48.98"]);
      if (turn === "before") await h2.reboot();
      await waitUntilReached(h2, "10.32.9.1");
      await waitUntilReached(h1, "10.32.9.2");
    }
    await h2.sh("weave forget 192.168.48.98");
  });

  test("weave.toml is read when the service starts, and a mistake in it is told", async () => {
    await h1.sh(`printf 'port = 70000\\n' >/etc/weave/weave.toml`);
    const { code } = await h1.run("systemctl restart weave");
    expect(code).not.toBe(0);
    expect(await h1.sh("journalctl -u weave -n 20 -o cat")).toContain(
      "invalid value '70000' for 'port' in /etc/weave/weave.toml",
    );
    await h1.sh(`printf 'nickname = "first"\\n' >/etc/weave/weave.toml; systemctl restart weave`);
    expect(await h1.sh("weave status")).toContain("(first)");
    await waitUntilReached(h2, "10.32.9.1");
  });

  test("systemctl reload takes over weave.toml, and fails with the reason when it cannot be used", async () => {
    await h1.sh(`printf 'nickname = "first"\nlog-level = "debug"\n' >/etc/weave/weave.toml; systemctl reload weave`);
    expect(await h1.sh("journalctl -u weave -n 20 -o cat")).toContain("taken over: log-level");
    await h1.sh(`printf 'nickname = "first"\nlog-level = "loud"\n' >/etc/weave/weave.toml`);
    expect((await h1.run("systemctl reload weave")).code).not.toBe(0);
    expect(await h1.sh("journalctl -u weave -n 20 -o cat")).toContain("invalid value 'loud' for 'log-level'");
    expect(await h1.sh("systemctl is-active weave")).toBe("active\n");
    await h1.sh(`printf 'nickname = "first"\n' >/etc/weave/weave.toml; kill -HUP $(systemctl show -p MainPID --value weave)`);
    await waitFor("the signal's reload", async () =>
      /reloaded changed=log-level/.test(await h1.sh("journalctl -u weave -n 20 -o cat")),
    );
  });

  test("a password comes as a credential, and is in no output", async () => {
    const secret = "a-word-that-is-nowhere-else";
    for (const machine of machines.all) {
      await machine.sh(`umask 077; echo ${secret} >/etc/weave/password; mkdir -p /etc/systemd/system/weave.service.d
        printf '[Service]\\nLoadCredential=weave.password:/etc/weave/password\\n' >/etc/systemd/system/weave.service.d/password.conf
        systemctl daemon-reload; systemctl restart weave`);
    }
    await waitUntilReached(h2, "10.32.9.1");
    expect(await h1.sh("weave status connections")).toMatch(/encrypted/);
    const outputs =
      "weave report; weave doctor --json; weave status; weave status --json; curl -s 127.0.0.1:6782/metrics; journalctl -u weave; cat /proc/$(systemctl show -p MainPID --value weave)/environ";
    expect((await h1.run(outputs)).stdout).not.toContain(secret);
    for (const machine of machines.all) {
      await machine.sh(
        "rm -r /etc/systemd/system/weave.service.d /etc/weave/password; systemctl daemon-reload; systemctl restart weave",
      );
    }
    await waitUntilReached(h2, "10.32.9.1");
  });

  test("doctor sees who else configures its links, and a unit that forbids the compiler; both have nothing to say without", async () => {
    const bad = async (id: string): Promise<string> =>
      (await h1.run("weave doctor")).stdout
        .split("\n")
        .find((line) => /^(error|warning)/.test(line) && line.includes(` ${id} `)) ?? "";
    expect([await bad("managers"), await bad("jit")]).toEqual(["", ""]);
    await h1.sh(
      "printf '[Match]\\nName=weave\\n[Network]\\nLinkLocalAddressing=no\\nKeepConfiguration=yes\\n' >/etc/systemd/network/00-all.network; systemctl start systemd-networkd; networkctl reload",
    );
    await waitFor("doctor to tell", async () => /systemd-networkd configures weave/.test(await bad("managers")), {
      everyMs: 200,
    });
    await h1.sh("rm /etc/systemd/network/00-all.network; networkctl reload");
    await waitFor("doctor to be content", async () => (await bad("managers")) === "", { everyMs: 200 });
    await h1.sh(
      "mkdir -p /run/systemd/system/weave.service.d; printf '[Service]\\nMemoryDenyWriteExecute=yes\\n' >/run/systemd/system/weave.service.d/mdwe.conf; systemctl daemon-reload",
    );
    expect((await h1.run("systemctl restart weave")).code).not.toBe(0);
    expect(await h1.sh("journalctl -u weave -n 20 -o cat")).toMatch(/take out MemoryDenyWriteExecute/);
    expect(await bad("jit")).toContain("weave.service has MemoryDenyWriteExecute=yes");
    expect(await bad("service")).toContain("weave.service is ");
    await h1.sh("rm -r /run/systemd/system/weave.service.d; systemctl daemon-reload; systemctl restart weave");
    expect([await bad("jit"), await bad("service")]).toEqual(["", ""]);
    await waitUntilReached(h2, "10.32.9.1");
  });

  test("a downgrade over a newer schema is refused in words, nothing is changed, and the network goes on", async () => {
    const schema = (version: number) => {
      using database = new Database(join(h1.root, "var/lib/weave/weave.db"));
      const before = database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
      database.run(`PRAGMA user_version = ${version}`);
      return before;
    };
    await h1.sh("systemctl stop weave");
    const ours = schema(99);
    const files = "cd /var/lib/weave && sha256sum identity.key weave.db";
    const before = await h1.sh(files);
    expect((await h1.run("systemctl start weave")).code).not.toBe(0);
    expect(await h1.sh("journalctl -u weave -n 20 -o cat")).toMatch(
      /database \/var\/lib\/weave\/weave\.db was written by a newer weave \(schema 99, this one knows \d+\); install that version again/,
    );
    expect((await h1.run("weave doctor")).stdout).toMatch(/^error +service .*written by a newer weave/m);
    expect(await reaches(h2, "10.32.9.1")).toBe(true);
    await h1.sh("systemctl stop weave");
    expect(await h1.sh(files)).toBe(before);
    expect(schema(ours)).toBe(99);
    await h1.sh("systemctl start weave");
    await waitUntilReached(h2, "10.32.9.1");
  });

  test("a host booted from a copy of another's disk is found out on both, and reset gives it an identity of its own", async () => {
    const copy = await machines.addCopyOf(h2, "h3");
    const told = async (machine: Machine) => (await machine.run("weave doctor")).stdout;
    for (const machine of [h1, copy]) {
      const { found: words } = await waitFor(
        `${machine.name} to tell`,
        async () => /^error +identity +(.*)$/m.exec(await told(machine)),
        {
          deadlineMs: 20_000,
          everyMs: 200,
        },
      );
      expect(words[1]).toContain("cloned identity");
    }
    await waitUntilReached(h1, "10.32.9.2"); // the original goes on
    await copy.sh("weave reset --force; hostnamectl set-hostname h3 2>/dev/null || hostname h3; systemctl start weave");
    await copy.sh(`weave connect ${h1.address}; weave expose 10.32.9.3/24`);
    await waitUntilReached(copy, "10.32.9.1");
    expect(await told(copy)).not.toContain("cloned identity");
    await h2.sh(`weave connect ${h1.address}`); // it comes back by itself (sim/conflicts), but after up to a minute
    await waitFor("the original to have its connection", async () => /established/.test(await h2.sh("weave status connections")));
    await copy.sh("weave reset --force");
  });

  for (const [index, release] of RELEASES.entries()) {
    test.skipIf(!hasRelease(release))(`the same package on ${release}, in one network with Debian 12`, async () => {
      const host = await machines.addOf(release, `h${index + 4}`);
      for (const version of VERSIONS) await host.put(join(directory, `weave_${version}_amd64.deb`), `/root/${version}.deb`);
      const before = await host.sh(STATE);
      const installByApt = (version: string) => host.sh(`apt-get install -y --no-install-recommends /root/${version}.deb 2>&1`);
      await installByApt(OLDER);
      await host.sh(`systemctl enable --now weave; weave connect ${h1.address}; weave expose 10.32.9.4/24`);
      await waitUntilReached(host, "10.32.9.1");
      await waitUntilReached(h1, "10.32.9.4");
      expect((await host.run("systemd-analyze verify --man=no /usr/lib/systemd/system/weave.service")).stderr).not.toMatch(
        /weave\.service/,
      );
      const libbpf = HAS_NO_LIBBPF_1.has(release) ? "libbpf.so.1 (weave's own copy)" : "libbpf.so.1";
      expect(await host.sh("weave version --verbose")).toContain(`\nlibbpf ${libbpf}\nlibpcap libpcap.so.0.8\n`);
      expect((await host.run("weave doctor")).stdout).not.toMatch(/^error/m);
      await host.sh("systemctl reload weave; ip netns add box; weave attach 10.32.9.5/24 /run/netns/box");
      expect(await host.sh("ip netns exec box ping -c1 -W2 10.32.9.1")).toContain(" 0% packet loss");
      await host.sh("weave detach /run/netns/box; ip netns del box");
      await installByApt(NEWER);
      await waitUntilReached(host, "10.32.9.1");
      if (release === "debian13") {
        debian13 = host;
        await host.reboot();
        await waitUntilReached(host, "10.32.9.1");
      }
      await host.sh("weave reset && apt-get purge -y weave 2>&1"); // the first hands its addresses over
      expect(await host.sh(STATE)).toBe(before);
    });
  }

  test("removed, nothing of weave is in the kernel but the host's state is kept; installed again it is the same peer", async () => {
    const name = /^\s*Name: (\S+?)\(/m.exec(await h1.sh("weave status"))?.[1];
    expect(name).toBeDefined();
    await h1.sh("dpkg -r weave 2>&1");
    expect(await h1.sh("ip -o link show | grep -cE 'weave|vethwe|vxlan' || true")).toBe("0\n");
    expect(await h1.sh("find /sys/fs/bpf -path '*weave*'; nft list ruleset")).not.toMatch(/weave/);
    expect(await h1.sh("ls /var/lib/weave")).toMatch(/\S/);
    await install(h1, NEWER);
    await h1.sh("systemctl start weave");
    expect(await h1.sh("weave status")).toContain(`Name: ${name}(first)`); // weave.toml is the administrator's and stayed too
    await waitUntilReached(h2, "10.32.9.1");
  });

  test("the rpm has the same files, asks for the libraries and runs the same at installation and removal", async () => {
    for (const version of VERSIONS) {
      const options = ["--arch", "x64", "--only", "rpm", "--quick", "--version", version, "--directory", directory];
      await must([process.execPath, "packaging/package.ts", ...options], { deadlineMs: 120_000 });
    }
    const ask = (...what: string[]) => must(["rpm", "-qp", ...what, join(directory, `weave-${OLDER}-1.x86_64.rpm`)]);
    const files = (await ask("--list")).split("\n");
    for (const file of ["/usr/bin/weave", "/usr/lib/systemd/system/weave.service", "/etc/weave/weave.toml"])
      expect(files).toContain(file);
    expect(await ask("--configfiles")).toBe("/etc/weave/weave.toml\n");
    expect(await ask("--requires")).toMatch(/libelf\.so\.1\(\)\(64bit\)/);
    expect(await ask("--recommends")).toMatch(/libbpf\.so\.1\(\)\(64bit\)/);
    expect(await ask("--scripts")).toContain("weave reset --keep-state --force");
  }, 180_000);

  // There is no Fedora to be had, so rpm runs on a Debian: with --nodeps, because the libraries were not installed by it.
  test.skipIf(!hasRelease("debian13"))("the rpm is installed, started, upgraded and removed by rpm", async () => {
    const host = debian13 as Machine;
    for (const version of VERSIONS) await host.put(join(directory, `weave-${version}-1.x86_64.rpm`), `/root/${version}.rpm`);
    const before = await host.sh(STATE);
    await host.sh(`rpm -i --nodeps /root/${OLDER}.rpm`);
    expect((await host.run("systemctl is-active weave")).stdout.trim()).toBe("inactive");
    expect(await host.sh("stat -c '%a %U' /var/lib/weave /etc/weave/weave.toml")).toBe("700 root\n600 root\n");
    await host.sh(`systemctl start weave; weave connect ${h1.address}; weave expose 10.32.9.4/24`);
    await waitUntilReached(host, "10.32.9.1");
    const pid = await host.sh("systemctl show -p MainPID --value weave");
    await host.sh(`rpm -U --nodeps /root/${NEWER}.rpm`);
    expect(await host.sh("systemctl show -p MainPID --value weave")).not.toBe(pid);
    expect((await host.sh("rpm -q weave")).trim()).toBe(`weave-${NEWER}-1.x86_64`);
    await waitUntilReached(host, "10.32.9.1");
    await host.sh("rpm -e weave");
    expect(await host.sh("find /var/lib/weave -name '*.db'")).toContain("weave.db"); // the host's state is kept
    await host.sh("rm -r /var/lib/weave; groupdel weave");
    expect(await host.sh(STATE)).toBe(before);
  });

  test("purged, the host is as before", async () => {
    await h1.sh("dpkg -P weave 2>&1");
    expect(await h1.sh(STATE)).toBe(untouched);
  });
});

if (why !== undefined) test.skip(`hosts with systemd (${why})`, () => undefined);
