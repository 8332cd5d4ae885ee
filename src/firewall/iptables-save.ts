// SPDX-License-Identifier: Apache-2.0
// A ruleset from the text of iptables-save(8) as rules that can be judged: of iptables-legacy, which nothing else shows, and of the extensions of
// iptables-nft. Total: what is not known makes a rule doubtful, never wrong.
import { cidrContains, parseCidr } from "../net/cidr.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import {
  type BaseChain,
  type Filter,
  type Hook,
  isNamed,
  not,
  type Outcome,
  outcomes,
  type Packet,
  type Rule,
  type Three,
} from "./verdict.ts";

const HOOKS: ReadonlyMap<string, Hook> = new Map([
  ["PREROUTING", "prerouting"],
  ["INPUT", "input"],
  ["FORWARD", "forward"],
  ["POSTROUTING", "postrouting"],
]);
/** linux/netfilter_ipv4.h, NF_IP_PRI_*. Translations are not judged. */
const PRIORITIES: ReadonlyMap<string, number> = new Map([
  ["raw", -300],
  ["mangle", -150],
  ["filter", 0],
  ["security", 50],
]);

/** @param family `ip` or `ip6` @param kind in front of a chain's name: the family, or what tells that it is of the older kernel part */
export function parseIptablesSave(text: string, family: 4 | 6, kind: string): Filter {
  const bases: BaseChain[] = [];
  const chains = new Map<string, Rule[]>();
  let table = "";
  const isTracked = !/ -j (NOTRACK|CT --notrack)/.test(text); // else which packets have a state cannot be told
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined) {
      const name = `${kind} ${table} ${chain}`;
      chains.set(name, []);
      const [hook, priority] = [HOOKS.get(chain), PRIORITIES.get(table)];
      if (policy !== "-" && hook !== undefined && priority !== undefined)
        bases.push({ chain: name, hook, family, priority, policy: policy === "DROP" ? "drop" : "accept" });
    }
    const [first, name, ...words] = wordsOf(line);
    if (first === "-A") chains.get(`${kind} ${table} ${name}`)?.push(ruleOf(words, family, `${kind} ${table}`, isTracked));
  }
  return { bases, chains };
}

/** Comments stay in their quotes, so that none of their words is taken for an option. */
function wordsOf(line: string): string[] {
  return line.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
}

type Test = (values: readonly string[], packet: Packet) => Three;

/** What is not here is not known. The values are the words up to the next option. */
const TESTS: Readonly<Record<string, Test>> = {
  "-p": ([name = ""], { protocol }) => ["all", "0", protocol, String({ tcp: 6, udp: 17 }[protocol])].includes(name),
  "-f": () => false, // a second fragment
  "-i": ([pattern = ""], { link }) => isNamed(link, pattern),
  "-o": ([pattern = ""], { out }) => out !== undefined && isNamed(out, pattern),
  "-s": ([subnet = ""], { from }) => contains(subnet, from),
  "-d": ([subnet = ""], { to }) => contains(subnet, to),
  "-m": ([name = ""], { protocol }) => (name === "tcp" || name === "udp" ? name === protocol : PLAIN.has(name) || undefined),
  "--dport": ([range = ""], { port }) => isIn(range, port),
  "--dports": ([ranges = ""], { port }) => ranges.split(",").some((range) => isIn(range, port)),
  "--ctstate": ([states = ""]) => states.split(",").includes("NEW"),
  "--state": ([states = ""]) => states.split(",").includes("NEW"),
  "--dst-type": ([types = ""], { out }) => (out === undefined ? types.split(",").includes("LOCAL") : undefined),
  "--pkt-type": ([type = ""]) => type === "unicast",
  "--tcp-flags": ([mask = "", flags = ""], { protocol }) => protocol === "tcp" && onlySyn(mask) === flags.replace("NONE", ""),
  "--comment": () => true,
};
/** Extensions that ask nothing but by their options. */
const PLAIN: ReadonlySet<string> = new Set(["comment", "conntrack", "state", "multiport", "addrtype", "pkttype"]);
/** Of targets; they do not decide whether the rule applies. */
const OF_TARGETS =
  /^--(reject-with|log-|nflog-|set-|save-|restore-|ctmask|nfmask|clamp-|helper|zone|notrack|tos|queue-|to-|on-|checksum-|exist|timeout|add-|del-)/;

function ruleOf(words: readonly string[], family: 4 | 6, table: string, isTracked: boolean): Rule {
  const tests: ((packet: Packet) => Three)[] = [];
  let verdict: readonly Outcome[] = ["next"];
  let isNegated = false;
  for (let at = 0; at < words.length; ) {
    const option = words[at++]!; // within the words
    if (option === "!") {
      isNegated = true;
      continue;
    }
    const values: string[] = [];
    while (at < words.length && !isOption(words[at]!)) values.push(words[at++]!);
    if (option === "-j") verdict = verdictOf(values[0] ?? "", table);
    else if (option === "-g") verdict = [{ goto: `${table} ${values[0]}` }];
    else if (!isTracked && /^--(ct)?state$/.test(option)) tests.push(() => undefined);
    else if (!OF_TARGETS.test(option)) tests.push(testOf(option, values, isNegated));
    isNegated = false;
  }
  return (packet) =>
    packet.family === family
      ? outcomes(
          tests.map((test) => test(packet)),
          verdict,
        )
      : ["next"];
}

function isOption(word: string): boolean {
  return word === "!" || /^--?[a-z]/i.test(word);
}

function testOf(option: string, values: readonly string[], isNegated: boolean): (packet: Packet) => Three {
  const test: Test = (Object.hasOwn(TESTS, option) ? TESTS[option] : undefined) ?? (() => undefined);
  return (packet) => (isNegated ? not(test(values, packet)) : test(values, packet));
}

/** Targets that change or report a packet, and let the next rule have it. */
const PASSING =
  /^(LOG|NFLOG|ULOG|MARK|CONNMARK|CT|NOTRACK|TCPMSS|TOS|DSCP|SET|SECMARK|CONNSECMARK|TRACE|CHECKSUM|CLASSIFY|AUDIT|HL|TTL|HMARK|IDLETIMER|LED|RATEEST|TEE)$/;

function verdictOf(target: string, table: string): readonly Outcome[] {
  switch (target) {
    case "ACCEPT":
      return ["accept"];
    case "DROP":
    case "REJECT":
    case "TARPIT":
      return ["drop"];
    case "RETURN":
      return ["return"];
    case "NFQUEUE":
    case "QUEUE":
      return ["accept", "drop"]; // a program decides
    default:
      return PASSING.test(target) ? ["next"] : [{ jump: `${table} ${target}` }];
  }
}

function contains(subnet: string, ip: Ip | undefined): Three {
  if (ip === undefined) return subnet.endsWith("/0") || undefined;
  const address = parseIp(subnet);
  if (address !== undefined) return address === ip;
  const cidr = parseCidr(subnet);
  return cidr && cidrContains(cidr, ip);
}

/** `6783`, or `6780:6790` with either end left out. */
function isIn(range: string, port: number): Three {
  const [low = "", high = low] = range.split(":");
  const [first, last] = [Number(low || 0), Number(high || 65_535)];
  return Number.isInteger(first) && Number.isInteger(last) ? first <= port && port <= last : undefined;
}

function onlySyn(mask: string): string {
  return mask === "ALL" || mask.split(",").includes("SYN") ? "SYN" : "";
}
