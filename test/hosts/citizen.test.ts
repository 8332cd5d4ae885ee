// SPDX-License-Identifier: Apache-2.0
// Life beside the distribution's own services: firewalls come, are opened with the very commands that doctor names, reload and go; Docker and the managers of links
// restart; people flush rules and delete links. Meanwhile frames flow, and the guard of the containers' ports never opens.
//
//   h1 [c1, c4, and c1 pretends to be somebody else], exposed ──── h2 [c2; c3 in another subnet], exposed
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Finding } from "../../src/doctor/finding.ts";
import { must } from "../support/command.ts";
import { waitFor } from "../support/wait.ts";
import { type Machine, Machines, whyNoHosts } from "./machine.ts";

const why = whyNoHosts("docker");
if (why !== undefined) console.warn(`skipped: hosts with firewalls: ${why}`);

/** Nobody has it; c1 sends with it all the time. */
const PRETENDED = "10.40.1.77";
const SPY = "add table ip spy; add chain ip spy in { type filter hook prerouting priority -300; }; add rule ip spy in";
const LINK_FILE = "/usr/lib/systemd/network/10-weave.link";
const UDEV = "systemctl restart systemd-udevd; udevadm trigger --action=add --subsystem-match=net; udevadm settle";
/** Well under the 30 s after which everything is looked at anyway; it takes under 1 s on a machine that is not busy. */
const SOON = { deadlineMs: 12_000, everyMs: 50 };

describe.skipIf(why !== undefined)("a good citizen", () => {
  const directory = mkdtempSync(join(tmpdir(), "weave-citizen-"));
  const measured: string[] = [];
  let machines: Machines;
  let h1: Machine;
  let h2: Machine;

  beforeAll(async () => {
    const options = ["--arch", "x64", "--only", "deb", "--quick", "--directory", directory];
    const [booted] = await Promise.all([
      Machines.bootWithDocker("h1", "h2"),
      must([process.execPath, "packaging/package.ts", ...options], { deadlineMs: 120_000 }),
    ]);
    machines = booted;
    [h1, h2] = machines.all as [Machine, Machine];
    const deb = [...new Bun.Glob("weave_*_amd64.deb").scanSync(directory)].join();
    for (const machine of machines.all) {
      await machine.put(join(directory, deb), "/root/weave.deb");
      await machine.sh("dpkg -i /root/weave.deb 2>&1; systemctl restart weave");
    }
    await h1.sh(`for c in c1 c4; do ip netns add $c; done; weave expose 10.40.1.101/24
      weave attach 10.40.1.1/24 fd42::1/64 /run/netns/c1
      weave attach 10.40.1.4/24 fd42::4/64 /run/netns/c4; ip netns exec c1 ip route add default via 10.40.1.101`);
    await h2.sh(`for c in c2 c3; do ip netns add $c; done; weave expose 10.40.1.102/24
      weave attach 10.40.1.2/24 /run/netns/c2; weave attach 10.40.2.3/24 /run/netns/c3
      ip netns exec c2 nft '${SPY} ip saddr ${PRETENDED} counter'; ip netns exec c3 nft '${SPY} ip saddr 10.40.1.0/24 counter'`);
    await waitFor("frames between containers", async () => (await ping("10.40.1.2")).code === 0, SOON);
    await h1.sh(`ip netns exec c1 ip addr add ${PRETENDED}/32 dev ethwe
      for what in '-I ${PRETENDED} 10.40.1.2' 10.40.2.3; do ip netns exec c1 ping -q -i 0.01 $what >/dev/null 2>&1 & done`);
  }, 180_000);
  afterAll(async () => {
    console.log(measured.join("\n"));
    await machines?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  const ping = (address: string) => h1.run(`ip netns exec c1 ping -c1 -W1 ${address}`);

  /** Frames that should not be there. */
  async function leaked(): Promise<number> {
    const counters = await h2.sh("for c in c2 c3; do ip netns exec $c nft list table ip spy; done");
    return [...counters.matchAll(/counter packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** What of the host is weave's; indices change when a link is made anew. */
  const state = () =>
    h1.sh(`ip -o link | grep -E 'weave|vethwe|vxlan' | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/qlen [0-9]+//; s/link-netnsid [0-9]+//; s/state [A-Z]+//' | sort
      ip -4 -o addr show dev weave | sed 's/^[0-9]*//'; nft list table inet weave; sysctl net.ipv6.conf.weave.accept_ra net.ipv4.neigh.weave.ucast_solicit`);
  const repairs = async () => Number(await h1.sh("weave report -f '{{.Router.OverlayDiagnostics.fastdp.Repairs}}'"));

  async function findings(): Promise<readonly Finding[]> {
    const all = JSON.parse((await h1.run("weave doctor --json")).stdout).findings as readonly Finding[];
    return all.filter(({ id, result }) => id === "firewall" && result !== "ok");
  }
  async function told(what: RegExp): Promise<void> {
    const texts = async () => (await findings()).map(({ text }) => text).join("\n");
    await waitFor("doctor to tell", async () => what.test(await texts()), { everyMs: 100, show: texts });
  }
  /** Types what doctor says until it has nothing more to say. */
  async function mendAsTold(): Promise<readonly string[]> {
    const typed: string[] = [];
    for (let round = 0; round < 5; round++) {
      const found = await findings();
      if (found.length === 0) return typed;
      for (const fix of new Set(found.map(({ fix: command }) => command))) {
        expect(fix).not.toBe("");
        await h1.sh(fix);
        typed.push(fix);
      }
    }
    throw new Error(`doctor is not content after ${typed.join(" | ")}: ${JSON.stringify(await findings())}`);
  }
  const fastAgain = () =>
    waitFor("the fast datapath", async () => /established fastdp/.test(await h1.sh("weave status connections")), {
      deadlineMs: 75_000,
      everyMs: 200,
      show: () => h1.sh("weave ping h2; weave status connections"),
    });

  test("firewalld: what it closes is told with the commands that open it, and they do", async () => {
    await h1.sh("systemctl start firewalld");
    await told(/'inet firewalld filter_INPUT' drops what peers send to tcp 6783, udp 6783, udp 6784/);
    const typed = await mendAsTold();
    expect(typed).toContain("firewall-cmd --permanent --add-service=weave && firewall-cmd --reload");
    expect((await h1.run("ip netns exec c1 ping -c1 -W2 fd42::4")).code).toBe(0); // neighbour discovery crosses the bridge
    await fastAgain();
  }, 120_000);

  describe("goes on through", () => {
    const CAUSES: readonly (readonly [what: string, command: string, effect: "no loss" | "repaired" | ""])[] = [
      ["firewalld's reload", "firewall-cmd --reload", ""],
      ["firewalld's restart", "systemctl restart firewalld", ""],
      ["firewalld's end", "systemctl stop firewalld", ""],
      ["Docker's restart", "systemctl restart docker", "no loss"],
      [
        "Docker's restart without its chains",
        "iptables -P FORWARD ACCEPT; iptables -F; iptables -X; iptables -t nat -F; systemctl restart docker",
        "no loss",
      ],
      ["systemd-networkd's restart", "systemctl restart systemd-networkd", "no loss"],
      ["udev's restart and all its rules", "systemctl restart systemd-udevd; udevadm trigger; udevadm settle", "no loss"],
      [
        "udev's own policies, and all links as if they were new",
        `mv ${LINK_FILE} /run; ${UDEV}; mv /run/10-weave.link ${LINK_FILE}`,
        "no loss",
      ],
      ["sysctl --system", "sysctl --system", "no loss"],
      [
        "sysctl --system that touches all links",
        "echo 'net.ipv6.conf.*.accept_ra = 1' >/etc/sysctl.d/99-all.conf; sysctl --system; rm /etc/sysctl.d/99-all.conf",
        "repaired",
      ],
      ["nft flush ruleset", "nft flush ruleset", "repaired"],
      ["iptables -F", "iptables -F; iptables -t nat -F", "no loss"],
      ["the bridge's end", "ip link del weave", "repaired"],
      ["the VXLAN device's end", "ip link del vxlan-6784", "repaired"],
      ["the sleeve link's end", "ip link del vethwe-sleeve", "repaired"],
      [
        "the end of a container's link",
        "ip link del $(ip -n c1 -o link | sed -n 's/.*ethwe@if\\([0-9]*\\).*/\\1/p' | xargs -I N sh -c \"ip -o link | sed -n 's/^N: \\(vethwe[a-z0-9]*\\).*/\\1/p'\")",
        "repaired",
      ],
    ];
    test.each(CAUSES)("%s", async (what, command, effect) => {
      const before = await state();
      const count = await repairs();
      await h1.sh("ip netns exec c4 ping -q -i 0.01 10.40.1.2 >/run/ping.log 2>&1 & echo $! >/run/ping.pid");
      await h1.sh(command);
      const began = performance.now();
      if (effect === "repaired") await waitFor("a repair", async () => (await repairs()) > count, SOON);
      await waitFor("everything as before", async () => (await state()) === before, { ...SOON, show: state });
      const tookMs = performance.now() - began;
      await waitFor("frames", async () => (await h1.run("ip netns exec c4 ping -c1 -W1 10.40.1.2")).code === 0, SOON);
      await h1.sh("kill -INT $(cat /run/ping.pid)");
      const log = () => h1.sh("cat /run/ping.log");
      const { found } = await waitFor("the summary", async () => /(\d+) packets transmitted, (\d+) received/.exec(await log()));
      const lost = Number(found[1]) - Number(found[2]);
      measured.push(
        `${what}: ${effect === "repaired" ? `as before after ${tookMs.toFixed(0)} ms, ` : ""}${lost} of ${found[1]} frames lost`,
      );
      if (effect === "no loss") expect(lost).toBe(0);
      expect(await leaked()).toBe(0);
    });
  });

  test("what was repaired is counted and told", async () => {
    expect(await h1.sh("weave status")).toMatch(/Note: repaired \d+ s ago: /);
    expect(await h1.sh("journalctl -u weave -o cat")).toContain("repaired reason=\"firewall: table 'inet weave' written\"");
  });

  test("ufw: what it closes is told with the commands that open it, and reloading and disabling it is survived", async () => {
    await h1.sh("ufw --force enable");
    await told(/'ip filter INPUT' drops what peers send to tcp 6783, udp 6783, udp 6784/);
    const typed = await mendAsTold();
    expect(typed.join("; ")).toContain("ufw allow 6783/tcp; ufw allow 6783/udp; ufw allow 6784/udp");
    expect((await h1.run("ip netns exec c1 ping -c1 -W2 fd42::4")).code).toBe(0);
    await fastAgain();
    for (const command of ["ufw reload", "ufw --force disable"]) {
      await h1.sh(command);
      expect(await h1.sh("nft list table inet weave")).toContain("masquerade");
      await waitFor("frames", async () => (await ping("10.40.1.2")).code === 0, SOON);
    }
    expect(await leaked()).toBe(0);
  }, 120_000);

  test("the guard was tried all the time", async () => {
    const drops = await h1.sh("weave report -f '{{(index .Router.OverlayDiagnostics.fastdp.Drops \"source-ipv4\").Packets}}'");
    expect(Number(drops)).toBeGreaterThan(100);
    expect(await leaked()).toBe(0);
  });

  test("after a boot with firewalld what doctor said still holds, but for what it said would not", async () => {
    await h1.sh("systemctl enable --quiet firewalld");
    await h1.reboot();
    await waitFor("frames to the host", async () => (await h2.run("ip netns exec c2 ping -c1 -W1 10.40.1.101")).code === 0, SOON);
    expect(await h1.sh("firewall-cmd --state")).toBe("running\n");
    await told(/'ip filter FORWARD' drops/);
    for (const command of await mendAsTold())
      expect(command).toMatch(/^nft insert rule ip filter DOCKER-USER .* # until the next boot/);
    await fastAgain();
  }, 120_000);
});
