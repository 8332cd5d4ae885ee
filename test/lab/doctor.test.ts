// SPDX-License-Identifier: Apache-2.0
// `weave doctor` on hosts that have what it is to find: each cause is made as it would come about, and taken away again.
//
// A narrow path is in `paths.test.ts`, a firewall that drops bridged packets in `firewall.test.ts`, foreign managers in `test/hosts`.
//
//   h1 ──seg0── h2, connected         h3 ──seg0, no daemon, or one of its own
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync } from "node:fs";
import type { Finding } from "../../src/doctor/finding.ts";
import { whyNoWireguard } from "../../src/host/wireguard-link.ts";
import { Lab } from "../support/lab.ts";
import { EXECUTABLE, type Host } from "../support/lab-host.ts";
import { waitFor } from "../support/wait.ts";
import { launch, statusOf, waitForMesh } from "../support/weave.ts";

const HAS_WIREGUARD = whyNoWireguard() === undefined;

let lab: Lab;
let h1: Host;
let h2: Host;
let h3: Host;
beforeAll(async () => {
  lab = await Lab.with({ hosts: ["h1", "h2", "h3"], segments: [["h1", "h2", "h3"]] });
  [h1, h2, h3] = [lab.host("h1"), lab.host("h2"), lab.host("h3")];
  await launch(h1);
  await launch(h2, h1.address);
  await waitForMesh([h1, h2]);
});
afterAll(async () => await lab?.close());

async function examine(host: Host): Promise<{ readonly code: number; readonly findings: readonly Finding[] }> {
  const { code, stdout, stderr } = await host.weave("doctor", "--json");
  if (stdout === "") throw new Error(`doctor on ${host.name} ended with ${code}: ${stderr}`);
  return { code, findings: JSON.parse(stdout).findings };
}

async function findingsOf(host: Host, id: string): Promise<readonly Finding[]> {
  return (await examine(host)).findings.filter((finding) => finding.id === id);
}

/** What is bad about `id`, as one text with the fixes; empty: nothing is. */
async function complaint(host: Host, id: string): Promise<string> {
  const found = await findingsOf(host, id);
  return found
    .flatMap(({ result, severity, text, fix }) => (result === "bad" ? `${severity}: ${text} -> ${fix}` : []))
    .join("\n");
}

/** Makes the cause, looks, takes it away, looks again. */
async function found(host: Host, id: string, cause: string, remedy: string): Promise<string> {
  expect(await complaint(host, id)).toBe("");
  await host.must(["sh", "-c", cause]);
  const told = await complaint(host, id);
  await host.must(["sh", "-c", remedy]);
  expect(await complaint(host, id)).toBe("");
  return told;
}

describe("with the daemon", () => {
  test("a healthy host: exit code 0, every check has its say, nothing is bad", async () => {
    const { code, findings } = await examine(h1);
    expect(findings.filter(({ result }) => result === "bad")).toEqual([]);
    expect(code).toBe(0);
    const ids = [
      "service",
      "configuration",
      "health",
      "jit",
      "libraries",
      "kernel",
      "bpffs",
      "vxlan",
      "wireguard",
      "disk",
      "clock",
    ];
    const more = ["identity", "connections", "ports", "mtu", "firewall", "managers", "forwarding", "rp-filter", "offloads"];
    expect([...new Set(findings.map(({ id }) => id))].sort()).toEqual([...ids, ...more].sort());
    const well = findings.filter(({ result }) => result === "ok").map(({ id }) => id);
    for (const id of ["service", "jit", "libraries", "identity", "connections", "ports", "mtu", "offloads"])
      expect(well).toContain(id);
    const text = await h1.mustWeave("doctor");
    expect(text).toMatch(/^ok {7}service +the daemon runs: version /m);
    expect(text).toMatch(/\n\n0 bad, \d+ could not be seen, \d+ ok\n$/);
  });

  test("a peer whose TCP port is closed to us, and ours that is closed to peers", async () => {
    const shut = `nft 'add table inet shut; add chain inet shut in { type filter hook input priority 0; policy drop; }; add rule inet shut in`;
    await h2.must(["sh", "-c", `${shut} ct state established accept; add rule inet shut in udp dport { 6783, 6784 } accept'`]);
    const ports = await complaint(h1, "ports");
    const firewall = await complaint(h2, "firewall");
    await h2.must(["nft", "delete table inet shut"]);
    expect(ports).toMatch(
      /^warning: h2 connected to us, but [\d.]+:6783 is closed to us: .*timeout -> open TCP 6783 in the firewall of h2/,
    );
    expect(firewall).toBe(
      "warning: 'inet shut in' drops what peers send to tcp 6783 -> nft insert rule inet shut in tcp dport 6783 accept # until the next boot; to last, put it where this host keeps its rules",
    );
    expect(await complaint(h2, "firewall")).toBe("");
  });

  test("rules of iptables, old and new, that shut a port; those that ask for what is not known are no complaint", async () => {
    const old =
      "iptables-legacy -A INPUT -p tcp --dport 6780:6790 -j LOG; iptables-legacy -A INPUT -p tcp --syn --dport 6783 -j DROP";
    expect(await found(h2, "firewall", old, "iptables-legacy -F")).toBe(
      "warning: 'iptables-legacy filter INPUT' drops what peers send to tcp 6783 -> iptables-legacy -t filter -I INPUT -p tcp --dport 6783 -j ACCEPT # until the next boot; to last, put it where this host keeps its rules",
    );
    const modern = "iptables-nft -A INPUT -p udp -m conntrack --ctstate NEW -m multiport --dports 1,6783 -j REJECT";
    expect(await found(h2, "firewall", modern, "nft delete table ip filter")).toBe(
      "warning: 'ip filter INPUT' drops what peers send to udp 6783 -> nft insert rule ip filter INPUT udp dport 6783 accept # until the next boot; to last, put it where this host keeps its rules",
    );
    await h2.must(["sh", "-c", modern.replace("-m conntrack --ctstate NEW", "-m length --length 1000:1001")]);
    expect(await findingsOf(h2, "firewall")).toMatchObject([
      {
        result: "unknown",
        text: "whether 'ip filter INPUT' lets in udp 6783 cannot be told: its rules ask for more than the port",
      },
    ]);
    await h2.must(["nft", "delete table ip filter"]);
  });

  test("the port of the fast datapath closed on the way", async () => {
    const rule = `nft 'add table inet shut; add chain inet shut in { type filter hook prerouting priority -500; }; add rule inet shut in udp dport 6784 drop'`;
    await h2.must(["sh", "-c", rule]);
    const { found: told } = await waitFor("doctor to tell", () => complaint(h1, "ports"), { everyMs: 100 });
    expect(told).toMatch(/^warning: UDP 6784 \(fastdp\) does not pass between us and h2: .* -> open UDP 6784 .*weave ping h2/);
    await h2.must(["nft", "delete table inet shut"]);
    await h2.mustWeave("ping", "h1");
  });

  test("no offload, no forwarding, strict reverse-path filters on two ways out", async () => {
    expect(await found(h1, "offloads", "ethtool -K e1 gso off", "ethtool -K e1 gso on")).toBe(
      "warning: gso off on e1: each packet is handled alone, which is many times slower -> ethtool -K e1 gso on",
    );
    await h1.mustWeave("expose", "10.2.1.100/24");
    expect(await complaint(h1, "forwarding")).toMatch(
      /^warning: net\.ipv4\.ip_forward is off: .* sysctl -w net\.ipv4\.ip_forward=1/,
    );
    await h1.must(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    expect(await complaint(h1, "forwarding")).toBe("");
    const docker =
      "table ip filter {\n chain DOCKER-USER {\n }\n chain FORWARD {\n type filter hook forward priority 0; policy drop;\n jump DOCKER-USER\n }\n}\n";
    await h1.must(["nft", "-f", "-"], { stdin: docker });
    const dropped = await complaint(h1, "forwarding");
    expect(dropped).toMatch(/^warning: the firewall chain 'ip filter FORWARD' drops what this host forwards/);
    await h1.must(["sh", "-c", / -> where it should be one: (.*)$/.exec(dropped)?.[1] ?? "false"]); // what it says mends it
    expect(await complaint(h1, "forwarding")).toBe("");
    await h1.must(["nft", "delete table ip filter"]);
    await h1.must(["sh", "-c", "sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e1.rp_filter=0"]);
    await h1.must([
      "sh",
      "-c",
      "ip link add e9 type veth peer name e9p && ip link set e9p up && ip addr add 192.0.2.1/24 dev e9 && ip link set e9 up",
    ]);
    const strict = "sysctl -q -w net.ipv4.conf.all.rp_filter=1";
    expect(await found(h1, "rp-filter", strict, strict.replace("=1", "=2"))).toMatch(
      /^warning: strict on e1, e9, and this host has 2 ways out/,
    );
    await h1.must(["ip", "link", "del", "e9"]);
  });

  test("a target that does not answer", async () => {
    await h1.mustWeave("connect", "10.200.1.250");
    const { found: told } = await waitFor("doctor to tell", () => complaint(h1, "connections"), {
      deadlineMs: 20_000,
      everyMs: 200,
    });
    await h1.mustWeave("forget", "10.200.1.250");
    expect(told).toMatch(/^error: no connection with 10\.200\.1\.250: .*(no route|timeout|unreachable)/);
  });

  test("a cloned identity, on both", async () => {
    cpSync(h2.file("/var/lib/weave"), h3.file("/var/lib/weave"), { recursive: true });
    await launch(h3, h1.address);
    for (const host of [h1, h3]) {
      const { found: told } = await waitFor(`${host.name} to tell`, () => complaint(host, "identity"), { everyMs: 100 });
      expect(told).toMatch(/^error: .*cloned identity.* -> on the host that was copied: weave reset --force/s);
      expect(told).toContain(h3.address);
    }
    await h3.mustWeave("reset", "--force");
    await launch(h3, h1.address);
    await waitForMesh([h1, h2, h3]);
    expect(await complaint(h3, "identity")).toBe("");
    expect((await statusOf(h3)).router.name).not.toBe((await statusOf(h2)).router.name);
    await h3.mustWeave("reset", "--force");
  });
});

describe("without the daemon", () => {
  test("it is told, and that the network goes on", async () => {
    await launch(h3, "--password", "right horse");
    await h3.mustWeave("stop");
    expect(await complaint(h3, "service")).toBe(
      "error: the daemon does not run; the network goes on forwarding as it was left -> weave launch",
    );
    expect((await examine(h3)).code).toBe(1);
    const { code, stdout, stderr } = await h3.weave("report");
    expect([code, JSON.parse(stdout)]).toMatchObject([7, { daemon: "absent", config: { port: 6783, passwords: ["********"] } }]);
    expect(stderr).toMatch(/^weave report: weave is not running on this host/);
    expect(stdout).not.toContain("right horse");
    await h3.mustWeave("reset", "--force");
  });

  test("a port that is taken, a file that cannot be read, a library that is gone, no BPF file system", async () => {
    const holder = h3.background(["socat", "TCP-LISTEN:6783,reuseaddr,fork", "/dev/null"]);
    const { found: taken } = await waitFor("doctor to tell", () => complaint(h3, "listen"));
    await holder.stop();
    expect(taken).toMatch(/^error: cannot listen on TCP port 6783: another program uses it -> find the program with "ss /);

    const wrong = "mkdir -p /etc/weave; echo 'prot = 1' >/etc/weave/weave.toml";
    expect(await found(h3, "configuration", wrong, "rm -r /etc/weave")).toMatch(
      /^error: the next start will fail: cannot use .*unknown key 'prot'/,
    );

    const library = (await h3.must(["sh", "-c", "ldconfig -p | sed -n 's/.*libpcap.so.0.8 .*=> //p' | head -n1"])).trim();
    const hide = `: >/run/nothing; mount --bind /run/nothing ${library}`;
    expect(await found(h3, "libraries", hide, `umount ${library}`)).toMatch(
      /^error: libpcap: .*libpcap\.so\.0\.8.* -> install libpcap0\.8/s,
    );

    expect(await found(h3, "bpffs", "umount /sys/fs/bpf", "mount -t bpf bpf /sys/fs/bpf")).toMatch(
      /^error: there is no BPF file system/,
    );
  });

  test("a full disk, one that is read-only, a clock that went back", async () => {
    const on = (options: string) => `mkdir -p /var/lib/weave; mount -t tmpfs -o ${options} tmpfs /var/lib/weave`;
    const off = "umount /var/lib/weave";
    expect(await found(h3, "disk", on("size=8m"), off)).toMatch(/^warning: only 8 MiB are free for \/var\/lib\/weave/);
    expect(await found(h3, "disk", on("size=512k"), off)).toMatch(/^error: only 1 MiB are free/);
    expect(await found(h3, "disk", on("ro"), off)).toMatch(/^error: \/var\/lib\/weave cannot be written: read-only file system/);
    const ahead = "touch -d '2100-01-01' /var/lib/weave/weave.db";
    expect(await found(h3, "clock", ahead, "rm /var/lib/weave/weave.db")).toMatch(
      /^warning: the clock is behind .* is of 2100-01-01/,
    );
  });

  test("a daemon whose state was damaged, and a password without WireGuard; one that may not compile says so", async () => {
    await h3.must(["sh", "-c", "mkdir -p /var/lib/weave && echo nonsense >/var/lib/weave/weave.db"]);
    await launch(h3, "--password", "right horse");
    expect(await complaint(h3, "health")).toMatch(/^warning: .*weave\.db.*it is kept as/);
    const lacks = await complaint(h3, "wireguard");
    expect(lacks).toBe(
      HAS_WIREGUARD
        ? ""
        : "warning: this kernel has no WireGuard, or its module 'wireguard' cannot be loaded -> modprobe wireguard, or a kernel with it; until then data is encrypted in user space",
    );
    await h3.mustWeave("stop");
    const { code, stderr } = await h3.run(["env", "BUN_JSC_useJIT=0", EXECUTABLE, "daemon"]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^weave daemon: .*take out MemoryDenyWriteExecute/),
    });
  });
});
