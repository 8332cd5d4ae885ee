// SPDX-License-Identifier: Apache-2.0
// What the judge says of a ruleset is what the kernel does with a packet: random rules are loaded into a namespace, shown by the tool that shows them on
// a host, judged, and a datagram is sent.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Nft } from "../../native/libnftables/nft.ts";
import { parseIptablesSave } from "../../src/firewall/iptables-save.ts";
import { parseNftJson } from "../../src/firewall/nft-json.ts";
import { type Filter, judge } from "../../src/firewall/verdict.ts";
import { inNetns } from "../../src/host/netns.ts";
import type { Ip } from "../../src/net/ip.ts";
import type { Place } from "../support/lab-host.ts";
import { UdpSocket } from "../support/udp.ts";
import { isRoot, ScratchNetns } from "../unit/host/scratch.ts";

const PORTS = [1001, 1002, 1003] as const;
/** A datagram to this port passes every ruleset, so whatever was sent before it has met its fate when it arrives. */
const MARKER = 999;
const HOME = { 4: "127.0.0.1", 6: "::1" } as const;
const SENDERS = { 4: "127.0.0.1", 6: "::1" } as const;

let scratch: ScratchNetns;
let nft: Nft;
const sockets = new Map<string, UdpSocket>();
beforeAll(() => {
  if (!isRoot) return;
  scratch = ScratchNetns.make();
  scratch.run("ip", "link", "set", "lo", "up");
  nft = inNetns(scratch.netns, () => Nft.open("json"));
  const place = { netns: scratch.path } as Place;
  for (const family of [4, 6] as const) {
    for (const port of [MARKER, ...PORTS]) sockets.set(`${family} ${port}`, new UdpSocket(place, port, family, "lo"));
  }
});
afterAll(() => {
  for (const socket of sockets.values()) socket[Symbol.dispose]();
  nft?.[Symbol.dispose]();
  scratch?.[Symbol.dispose]();
});

const socket = (family: 4 | 6, port: number): UdpSocket => sockets.get(`${family} ${port}`)!; // made above

/** Does the kernel let a datagram through? */
function arrives(family: 4 | 6, port: number): boolean {
  const place = { netns: scratch.path } as Place;
  using sender = new UdpSocket(place, 0, family, "lo");
  sender.send(Uint8Array.of(1), HOME[family], port);
  sender.send(Uint8Array.of(2), HOME[family], MARKER);
  while (socket(family, MARKER).receive() === undefined) Bun.sleepSync(0);
  return socket(family, port).receive() !== undefined;
}

function compare(filter: Filter, rules: string, isDoubtful: boolean, families: readonly (4 | 6)[]): void {
  for (const family of families) {
    for (const port of PORTS) {
      const home = HOME[family] as Ip;
      const { passes } = judge(filter, { family, protocol: "udp", port, link: "lo", to: home, from: SENDERS[family] as Ip });
      const words = `udp ${port} over IPv${family} through\n${rules}`;
      if (!isDoubtful) expect(passes, words).toBeBoolean();
      if (passes !== undefined) expect(passes, words).toBe(arrives(family, port));
    }
  }
}

const some = <Value>(...values: readonly Value[]) => fc.constantFrom(...values);
const port = some(...PORTS, 22);
/** What such rules ask for is not known of a packet. */
const DOUBT = /limit|mark|sport|oifname !=|notrack/;

const nftMatch = fc.oneof(
  port.map((number) => `udp dport ${number}`),
  port.map((number) => `udp dport != ${number}`),
  fc.tuple(port, port).map(([a, b]) => `udp dport { ${[...new Set([a, b])].join(", ")} }`),
  port.map((number) => `udp dport >= ${number}`),
  some("udp dport 1002-1003", "udp dport @open", "udp dport != @open", "th dport 1001", "tcp dport 1001", "tcp dport != 1001"),
  some(
    "tcp flags & (fin | syn | rst | ack) != syn",
    "icmp type echo-request",
    "udp sport 0-65535",
    "udp length > 2000 meta mark 1",
  ),
  some(
    'iifname "lo"',
    'iifname != "lo"',
    'iifname "l*"',
    'iif "lo"',
    'iifname { "eth0", "lo" }',
    'oifname "lo"',
    'oifname != "eth0"',
  ),
  some(
    "ip saddr 127.0.0.0/8",
    "ip saddr != 127.0.0.0/8",
    "ip saddr { 10.0.0.0/8, 127.0.0.1 }",
    "ip daddr 127.0.0.1",
    "ip6 saddr ::1",
  ),
  some(
    "ip daddr 127.0.0.0-127.0.0.9",
    "ip saddr . udp dport { 127.0.0.1 . 1001 }",
    "meta l4proto . th dport { udp . 1002, tcp . 1001 }",
  ),
  some(
    "ct state new",
    "ct state established,related",
    "ct state != new",
    "ct state { new, invalid }",
    "ct state invalid",
    "ct status dnat",
  ),
  some(
    "meta l4proto udp",
    "meta l4proto { tcp, icmp }",
    "meta nfproto ipv4",
    "meta nfproto ipv6",
    "ip protocol udp",
    "ip6 nexthdr tcp",
  ),
  some("fib daddr type local", "fib saddr . iif oif missing", "meta mark 7", "limit rate 1/hour"),
);
const nftVerdict = some(
  "accept",
  "drop",
  "reject",
  "return",
  "continue",
  "counter",
  "jump one",
  "goto one",
  "jump two",
  "goto two",
);
const nftRule = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.array(nftMatch, { maxLength: 2 }), nftVerdict)
      .map(([matches, verdict]) => `${matches.join(" ")} ${verdict}`),
  },
  some(
    "udp dport vmap { 1001 : accept, 1002 : drop, 1003 : jump two }",
    "ct state vmap { invalid : drop, established : accept }",
    "add @seen { ip saddr limit rate over 1/hour } drop",
  ),
  some("ct state vmap { new : jump one }", 'iifname vmap { "lo" : goto two, "eth0" : drop }', "meta l4proto vmap { tcp : drop }"),
);
const nftChain = (rule: fc.Arbitrary<string>) => fc.array(rule, { maxLength: 5 });
/** A chain may jump to those behind it only, as the kernel wants it. */
const without = (...names: readonly string[]) => nftRule.filter((rule) => !names.some((name) => rule.includes(name)));
const policy = some("accept", "drop");

const nftRuleset = fc
  .record({
    first: nftChain(nftRule),
    one: nftChain(without("one")),
    two: nftChain(without("one", "two")),
    policy,
    second: nftChain(without("one", "two")),
    raw: nftChain(fc.oneof({ weight: 9, arbitrary: without("one", "two", "fib", "reject") }, some("udp dport 1002 notrack"))),
  })
  .map(({ first, one, two, policy: end, second, raw }) => {
    const base = (name: string, hook: string, priority: number, verdict: string, rules: readonly string[]) =>
      `chain ${name} { type filter hook ${hook} priority ${priority}; policy ${verdict}; udp dport ${MARKER} accept\n${rules.map((rule) => `${rule}\n`).join("")}}`;
    const plain = (name: string, rules: readonly string[]) => `chain ${name} {\n${rules.map((rule) => `${rule}\n`).join("")}}`;
    const set =
      "set open { type inet_service; flags interval; elements = { 1001, 2000-3000 }; }\nset seen { type ipv4_addr; size 99; flags dynamic; }\n";
    const input = `table inet f { ${set}\n${plain("two", two)}\n${plain("one", one)}\n${base("in", "input", 0, end, first)}\n}`;
    return `flush ruleset\n${input}\ntable inet g { ${set}\n${base("late", "input", 10, "accept", second)}\n${base("raw", "prerouting", -300, "accept", raw)}\n}\n`;
  });

const xtMatch = fc.oneof(
  port.map((number) => `-p udp -m udp --dport ${number}`),
  port.map((number) => `-p udp -m udp ! --dport ${number}`),
  some(
    "-p udp -m udp --dport 1002:1003",
    "-p udp -m multiport --dports 22,1001:1002",
    "-p udp -m multiport ! --dports 1003",
    "-p tcp -m tcp --dport 1001",
  ),
  some("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", "! -p tcp", "-p icmp", "-p udp", "-i lo", "! -i lo", "-i l+", "-i eth0"),
  some("-s 127.0.0.0/8", "! -s 127.0.0.0/8", "-d 127.0.0.1/32", "-s 10.0.0.0/8", "-f", "! -f"),
  some(
    "-m conntrack --ctstate NEW",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m conntrack ! --ctstate INVALID",
    "-m state --state NEW,INVALID",
  ),
  some(
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --dst-type LOCAL",
    '-m comment --comment "a -j DROP \\"b\\""',
    "-m mark --mark 0x7",
    "-m limit --limit 1/hour",
  ),
);
const xtVerdict = some(
  "-j ACCEPT",
  "-j DROP",
  "-j REJECT --reject-with icmp-port-unreachable",
  "-j RETURN",
  "-j MARK --set-xmark 0x1/0x1",
  "-j one",
  "-g one",
  "-j two",
  "",
);
const xtRule = fc.tuple(xtMatch, xtVerdict).map((parts) => parts.join(" "));
const xtRuleset = fc
  .record({
    input: fc.array(xtRule, { maxLength: 6 }),
    one: fc.array(
      xtRule.filter((rule) => !rule.endsWith(" one")),
      { maxLength: 4 },
    ),
    two: fc.array(
      xtRule.filter((rule) => !/ (one|two)$/.test(rule)),
      { maxLength: 4 },
    ),
    policy,
  })
  .map(({ input, one, two, policy: end }) => {
    const rules = (chain: string, list: readonly string[]) => list.map((rule) => `-A ${chain} ${rule}`);
    const head = [
      "*filter",
      `:INPUT ${end.toUpperCase()} [0:0]`,
      ":FORWARD ACCEPT [0:0]",
      ":OUTPUT ACCEPT [0:0]",
      ":one - [0:0]",
      ":two - [0:0]",
    ];
    const first = `-A INPUT -p udp -m udp --dport ${MARKER} -j ACCEPT`;
    // MARK stands in the table `mangle` only.
    const all = [first, ...rules("INPUT", input), ...rules("one", one), ...rules("two", two)].map((rule) =>
      rule.replace(/-j MARK .*/, ""),
    );
    return `${[...head, ...all, "COMMIT"].join("\n")}\n`;
  });

describe.skipIf(!isRoot)("the judge and the kernel agree (needs root)", () => {
  test("about nftables' rules, as JSON shows them", () => {
    const law = (rules: string): void => {
      const { ok, error } = nft.run(rules);
      fc.pre(!/conflicting/.test(error)); // two protocols in one rule
      expect(ok, `${error}\n${rules}`).toBe(true);
      const filter = parseNftJson(nft.run("list ruleset").output);
      expect(filter).toBeDefined();
      compare(filter!, rules, DOUBT.test(rules), [4, 6]);
    };
    fc.assert(fc.property(nftRuleset, law), { numRuns: 150 });
    nft.run("flush ruleset");
  });

  test.each(["iptables-nft", "iptables-legacy"])("about those of %s, as iptables-save shows them", (tool) => {
    const law = (rules: string): void => {
      const inside = ["nsenter", `--net=${scratch.path}`];
      const restored = Bun.spawnSync([...inside, `${tool}-restore`], { stdin: Buffer.from(rules) });
      expect(restored.exitCode, `${restored.stderr}\n${rules}`).toBe(0);
      compare(parseIptablesSave(scratch.run(`${tool}-save`), 4, tool), rules, DOUBT.test(rules), [4]);
    };
    fc.assert(fc.property(xtRuleset, law), { numRuns: 40 });
    for (const words of [["-F"], ["-P", "INPUT", "ACCEPT"]]) scratch.run(tool, ...words);
  });
});

test("whatever stands there, nothing is thrown", () => {
  const packet = { family: 4, protocol: "tcp", port: 6783, link: "eth0" } as const;
  const object = fc.record({ chain: fc.anything(), rule: fc.anything(), set: fc.anything() }, { requiredKeys: [] });
  const wordy = fc.record({ nftables: fc.array(fc.oneof(object, fc.anything())) });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        wordy.map((value) => JSON.stringify(value) ?? ""),
      ),
      (text) => {
        const filter = parseNftJson(text);
        if (filter) judge(filter, packet);
      },
    ),
  );
  fc.assert(
    fc.property(
      fc.string(),
      (text) => void judge(parseIptablesSave(`*filter\n:INPUT ACCEPT\n-A INPUT ${text}`, 4, "ip"), packet),
    ),
  );
});
