// SPDX-License-Identifier: Apache-2.0
// Rulesets as real hosts show them: firewalld with the package's service and Docker's zone, ufw with the ports opened, Docker alone (test/fixtures/firewall).
// That the judge is right about rules in general is the business of test/property/packet-filter.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseIptablesSave } from "../../../src/firewall/iptables-save.ts";
import { parseNftJson } from "../../../src/firewall/nft-json.ts";
import { type Filter, judge, type Packet } from "../../../src/firewall/verdict.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";

const fixture = (name: string): string => readFileSync(new URL(`../../fixtures/firewall/${name}`, import.meta.url), "utf8");
const json = (name: string) => parseNftJson(fixture(name))!; // a whole ruleset
const TO = { 4: parseIp("192.168.48.11"), 6: parseIp("2001:db8::1") } as const;

function passes(filter: Filter, packet: Partial<Packet> & Pick<Packet, "protocol" | "port">): boolean | undefined {
  const family = packet.family ?? 4;
  return judge(filter, { family, link: "eth0", to: TO[family], ...packet }).passes;
}

describe("what real hosts show", () => {
  test("firewalld: the service's ports pass in both families, others do not, and nothing is forwarded from a link in no zone", () => {
    const filter = json("firewalld.json");
    for (const family of [4, 6] as const) {
      expect(passes(filter, { family, protocol: "tcp", port: 6783 })).toBe(true);
      for (const port of [6783, 6784, 6785]) expect(passes(filter, { family, protocol: "udp", port })).toBe(true);
      expect(passes(filter, { family, protocol: "tcp", port: 6784 })).toBe(false);
      expect(passes(filter, { family, protocol: "udp", port: 5353, link: "weave", out: "weave", to: undefined })).toBe(false);
    }
    const { by } = judge(filter, { family: 4, protocol: "udp", port: 53, link: "docker0" });
    expect(by?.chain).toBe("inet firewalld filter_INPUT");
  });

  test("ufw: the opened ports pass from anybody, others do not; the family without rules for them keeps them out", () => {
    const filter = parseIptablesSave(fixture("ufw.save"), 4, "ip");
    expect(passes(filter, { protocol: "tcp", port: 6783 })).toBe(true);
    expect(passes(filter, { protocol: "udp", port: 6784 })).toBe(true);
    expect(passes(filter, { protocol: "udp", port: 6785 })).toBe(false);
    expect(passes(filter, { protocol: "udp", port: 53, link: "docker0" })).toBe(false);
    expect(passes(filter, { protocol: "udp", port: 5353, link: "weave", out: "weave" })).toBe(true);
    expect(passes(filter, { protocol: "udp", port: 5353, link: "eth0", out: "weave" })).toBe(false);
    expect(passes(filter, { family: 6, protocol: "tcp", port: 6783 })).toBe(true); // not its family
    const six = parseIptablesSave(fixture("ufw.save6"), 6, "ip6");
    expect(passes(six, { family: 6, protocol: "tcp", port: 6783 })).toBe(false);
  });

  test("Docker: what is for the host passes; what goes through it does not, between ports of the bridge neither", () => {
    const filter = json("docker.json");
    expect(passes(filter, { protocol: "tcp", port: 6783 })).toBe(true);
    expect(passes(filter, { protocol: "tcp", port: 80, link: "eth0", out: "weave" })).toBe(false);
    expect(filter.foreign).toContain("ip filter");
  });
});

describe("what cannot be told is not told", () => {
  const rules = (...lines: string[]) =>
    parseIptablesSave(["*filter", ":INPUT DROP [0:0]", ...lines, "COMMIT"].join("\n"), 4, "ip");
  test.each([
    ["from some subnet only", "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 6783 -j ACCEPT"],
    ["from a set", "-A INPUT -p tcp -m set --match-set peers src -j ACCEPT"],
    ["by an extension nobody here knows", "-A INPUT -m geoip --source-country DE -j ACCEPT"],
    ["by one without options", "-A INPUT -m socket -j ACCEPT"],
    ["by a program", "-A INPUT -j NFQUEUE --queue-num 0"],
    ["by a chain that is not shown", "-A INPUT -j elsewhere"],
  ])("let in %s", (_, line) => {
    expect(passes(rules(line), { protocol: "tcp", port: 6783 })).toBeUndefined();
  });

  test("with the sender known it can be", () => {
    const filter = rules("-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 6783 -j ACCEPT");
    const from = (text: string) => passes(filter, { protocol: "tcp", port: 6783, from: parseIp(text) as Ip });
    expect([from("10.1.2.3"), from("192.0.2.1")]).toEqual([true, false]);
  });

  test("rules of iptables' extensions are doubtful in JSON, and the rest of the chain still counts", () => {
    const rule = (...expr: object[]) => ({ rule: { family: "ip", table: "filter", chain: "INPUT", expr } });
    const chain = { family: "ip", table: "filter", name: "INPUT", type: "filter", hook: "input", prio: 0, policy: "accept" };
    const ruleset = (...rules: object[]) => parseNftJson(JSON.stringify({ nftables: [{ chain }, ...rules] }))!;
    const doubtful = rule({ xt: { type: "match", name: "conntrack" } }, { accept: null });
    expect(passes(ruleset(doubtful), { protocol: "tcp", port: 1 })).toBe(true);
    expect(passes(ruleset(doubtful, rule({ drop: null })), { protocol: "tcp", port: 1 })).toBeUndefined();
    expect(passes(ruleset(rule({ drop: null })), { protocol: "tcp", port: 1 })).toBe(false);
    expect(parseNftJson("Error: no JSON")).toBeUndefined();
  });
});
