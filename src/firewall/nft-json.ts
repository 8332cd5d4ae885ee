// SPDX-License-Identifier: Apache-2.0
// A ruleset from libnftables' JSON (libnftables-json(5)) as rules that can be judged. Total: what is not known makes a rule doubtful, never wrong.
import { type Cidr, cidrContains } from "../net/cidr.ts";
import { type Ip, isIpv6, parseIp } from "../net/ip.ts";
import {
  any,
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

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };
type Fields = { readonly [key: string]: Json | undefined };

/** A value of a packet; `hidden`: it has one that is not known; undefined: it has no such field, so nothing compares with it. */
type Value = number | string | readonly string[] | readonly Value[] | typeof HIDDEN | undefined;
const HIDDEN = Symbol("hidden");
/** Where a packet for the host itself goes out. */
const NO_LINK = "";

export interface NftFilter extends Filter {
  /** Tables with rules in the words of iptables' extensions, which JSON does not spell out: `ip filter`. */
  readonly foreign: ReadonlySet<string>;
}

/** undefined: this is no ruleset. */
export function parseNftJson(text: string): NftFilter | undefined {
  const objects = fields(parseJson(text))?.["nftables"];
  if (!Array.isArray(objects)) return undefined;
  const bases: BaseChain[] = [];
  const chains = new Map<string, Rule[]>();
  const foreign = new Set<string>();
  const sets = new Map<string, Json>();
  const isTracked = !text.includes('{"notrack":');
  for (const object of objects as readonly Json[]) {
    const set = fields(fields(object)?.["set"] ?? fields(object)?.["map"]);
    if (set) sets.set(`${set["family"]} ${set["table"]} ${set["name"]}`, set["elem"] ?? []);
    const chain = fields(fields(object)?.["chain"]);
    if (chain) {
      chains.set(nameOf(chain, chain["name"]), []);
      const base = baseOf(chain);
      if (base) bases.push(base);
    }
  }
  for (const object of objects as readonly Json[]) {
    const rule = fields(fields(object)?.["rule"]);
    if (!rule) continue;
    const table = `${rule["family"]} ${rule["table"]}`;
    const statements = Array.isArray(rule["expr"]) ? (rule["expr"] as readonly Json[]) : [];
    if (statements.some((statement) => fields(statement)?.["xt"] !== undefined)) foreign.add(table);
    chains.get(nameOf(rule, rule["chain"]))?.push(ruleOf(statements, { table, sets, isTracked }));
  }
  return { bases, chains, foreign };
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function fields(value: Json | undefined): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? value : value === undefined ? [] : [value as Json];
}
function nameOf(object: Fields, chain: Json | undefined): string {
  return `${object["family"]} ${object["table"]} ${chain}`;
}

const HOOKS: ReadonlySet<string> = new Set<Hook>(["ingress", "prerouting", "input", "forward", "postrouting"]);

function baseOf(chain: Fields): BaseChain | undefined {
  const { type, hook, prio, policy, dev, family } = chain;
  if (type !== "filter" || !HOOKS.has(String(hook))) return undefined;
  if (!["ip", "ip6", "inet", "netdev"].includes(String(family))) return undefined;
  const links = dev === undefined ? undefined : list(dev).map(String);
  const name = nameOf(chain, chain["name"]);
  return {
    chain: name,
    hook: hook as Hook,
    family: FAMILIES.get(String(family)),
    priority: Number(prio ?? 0),
    policy: policy === "drop" ? "drop" : "accept",
    links,
  };
}

interface Context {
  readonly table: string;
  readonly sets: ReadonlyMap<string, Json>;
  /** Every packet has a state; where some are not tracked, which of them cannot be told. */
  readonly isTracked: boolean;
}

function ruleOf(statements: readonly Json[], context: Context): Rule {
  return (packet) => {
    const matches: Three[] = [];
    for (const statement of statements) {
      const [[kind, body] = ["", null]] = Object.entries(fields(statement) ?? {});
      if (kind === "match") matches.push(matchOf(fields(body) ?? {}, packet, context));
      else if (kind === "vmap") return outcomes(matches, mapped(fields(body) ?? {}, packet, context));
      else {
        if (kind === "reject") matches.push(rejects(fields(body)?.["type"], packet));
        const verdict = verdictOf(kind, body ?? null, context.table);
        if (verdict !== undefined) return outcomes(matches, verdict);
        if (!HARMLESS.has(kind) || fields(body)?.["stmt"] !== undefined) matches.push(undefined);
      }
    }
    return ["next"];
  };
}

/** A rule `meta nfproto ipv4 reject` is listed without its match, because the answer's kind implies it. */
function rejects(type: Json | undefined, { family, protocol }: Packet): boolean {
  switch (type) {
    case "icmp":
      return family === 4;
    case "icmpv6":
      return family === 6;
    case "tcp reset":
      return protocol === "tcp";
    default:
      return true;
  }
}

/** Statements that neither end a rule nor decide whether it goes on. A limit, a quota or an extension does the latter, also one for each element of a set. */
const HARMLESS: ReadonlySet<string> = new Set([
  "counter",
  "log",
  "mangle",
  "notrack",
  "set",
  "ct helper",
  "flow",
  "dup",
  "comment",
]);

/** undefined: it is no verdict. */
function verdictOf(kind: string, body: Json, table: string): readonly Outcome[] | undefined {
  switch (kind) {
    case "accept":
    case "drop":
    case "return":
      return [kind];
    case "reject":
      return ["drop"];
    case "continue":
      return ["next"];
    case "jump":
    case "goto": {
      const target = `${table} ${fields(body)?.["target"]}`;
      return [kind === "jump" ? { jump: target } : { goto: target }];
    }
    case "queue":
      return ["accept", "drop"]; // a program decides
    case "xt":
      return fields(body)?.["type"] === "match" ? undefined : ["accept", "drop", "return", "next"];
    default:
      return undefined;
  }
}

/** A verdict looked up by a value of the packet. */
function mapped({ key, data }: Fields, packet: Packet, context: Context): readonly Outcome[] {
  const value = fieldOf(key ?? null, packet, context);
  const possible: Outcome[] = [];
  for (const entry of elementsOf(data ?? null, context)) {
    const [wanted, verdict] = list(entry);
    const [[kind, body] = ["", null]] = Object.entries(fields(verdict) ?? {});
    const held = holds(value, wanted ?? null, context);
    if (held === false) continue;
    possible.push(...(verdictOf(kind, body ?? null, context.table) ?? (["accept", "drop", "next"] as const)));
    if (held === true) return possible;
  }
  return [...possible, "next"];
}

function matchOf({ op, left, right }: Fields, packet: Packet, context: Context): Three {
  const value = fieldOf(left ?? null, packet, context);
  if (value === undefined) return false; // such a packet has no such field, so the rule does not apply, whatever it compares with
  // Old kernels let no rule apply that asks for it, new ones see an empty name.
  if (value === NO_LINK) return op === "==" ? false : undefined;
  switch (op) {
    case "==":
    case "in":
      return holds(value, right ?? null, context);
    case "!=":
      return not(holds(value, right ?? null, context));
    case "<":
    case ">":
    case "<=":
    case ">=":
      return typeof value === "number" && typeof right === "number" ? compare(value, op, right) : undefined;
    default:
      return undefined;
  }
}

function compare(value: number, op: "<" | ">" | "<=" | ">=", bound: number): boolean {
  return { "<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound }[op];
}

/** What the packet has at the place that a rule looks at. */
function fieldOf(expression: Json, packet: Packet, context: Context): Value {
  const [[kind, body] = ["", null]] = Object.entries(fields(expression) ?? {});
  const { key, protocol, field, result, flags } = fields(body) ?? {};
  switch (kind) {
    case "meta":
      return metaOf(String(key), packet);
    case "payload":
      return payloadOf(String(protocol), String(field), packet);
    case "ct":
      if (!context.isTracked) return HIDDEN;
      return key === "state" ? ["new"] : key === "status" ? [] : HIDDEN;
    case "fib":
      return packet.out === undefined ? fibOf(String(result), list(flags).map(String)) : HIDDEN;
    case "concat":
      return list(body).map((part) => fieldOf(part, packet, context));
    case "&": {
      const [field, mask] = list(body).map((part) => part ?? null);
      const value = fieldOf(field ?? null, packet, context);
      // Only flags are masked here, written as words: { "|": ["syn", "ack"] }.
      if (!Array.isArray(value)) return value === undefined ? undefined : HIDDEN;
      const wanted = wordsOf(mask ?? null);
      return wanted && (value as readonly string[]).filter((flag) => wanted.includes(flag));
    }
    default:
      return HIDDEN;
  }
}

function metaOf(key: string, { family, protocol, link, out }: Packet): Value {
  switch (key) {
    case "l4proto":
      return protocol;
    case "nfproto":
      return family === 4 ? "ipv4" : "ipv6";
    case "protocol":
      return family === 4 ? "ip" : "ip6";
    case "iif":
    case "iifname":
      return link;
    case "oif":
    case "oifname":
      return out ?? NO_LINK;
    case "pkttype":
      return "unicast"; // or `host`
    default:
      return HIDDEN;
  }
}

const FAMILIES: ReadonlyMap<string, 4 | 6> = new Map([
  ["ip", 4],
  ["ip6", 6],
]);

function payloadOf(header: string, field: string, packet: Packet): Value {
  const { family, protocol, port, from, to } = packet;
  const ofFamily = FAMILIES.get(header);
  if (ofFamily !== undefined) {
    if (ofFamily !== family) return undefined;
    if (field === "saddr") return from ?? HIDDEN;
    if (field === "daddr") return to ?? HIDDEN;
    return field === "protocol" || field === "nexthdr" ? protocol : HIDDEN;
  }
  if (header === "th" || header === protocol) {
    if (field === "dport") return port;
    return field === "flags" && protocol === "tcp" ? ["syn"] : HIDDEN;
  }
  return header === "ether" || header === "" || header === "undefined" ? HIDDEN : undefined; // of another protocol
}

/** The packet is for this host, and comes the way an answer would go. */
function fibOf(result: string, flags: readonly string[]): Value {
  if (result === "type") return flags.includes("daddr") ? "local" : HIDDEN;
  return flags.includes("saddr") ? "found" : HIDDEN;
}

/** Is the value the one wanted, or in the set wanted? */
function holds(value: Value, wanted: Json, context: Context): Three {
  if (value === undefined) return false;
  if (value === HIDDEN) return anything(wanted, context);
  if (isFlags(value)) return flagsHold(value, wanted);
  if (typeof wanted === "string" && wanted.startsWith("@"))
    return any(elementsOf(wanted, context).map((one) => holds(value, one, context)));
  const object = fields(wanted);
  if (object?.["set"] !== undefined) return any(elementsOf(wanted, context).map((one) => holds(value, one, context)));
  if (object?.["elem"] !== undefined) return holds(value, fields(object["elem"])?.["val"] ?? null, context);
  if (object?.["concat"] !== undefined) {
    const parts = list(object["concat"]);
    if (!Array.isArray(value) || value.length !== parts.length) return undefined;
    const held = (value as readonly Value[]).map((part, at) => holds(part, parts[at] ?? null, context));
    return held.includes(false) ? false : held.includes(undefined) ? undefined : true;
  }
  if (object?.["range"] !== undefined) return inRange(value, list(object["range"]));
  if (object?.["prefix"] !== undefined) return inPrefix(value, fields(object["prefix"]) ?? {});
  return isSame(value, wanted);
}

/** With an unknown value: nothing is in an empty set, everything in the whole range. */
function anything(wanted: Json, context: Context): Three {
  const object = fields(wanted);
  const isSet = object?.["set"] !== undefined || (typeof wanted === "string" && wanted.startsWith("@"));
  if (isSet && elementsOf(wanted, context).length === 0) return false;
  return Number(fields(object?.["prefix"])?.["len"] ?? -1) === 0 ? true : undefined;
}

/** Elements of a set or map, named or not; of a name that is not there, one that is like nothing else. */
function elementsOf(set: Json, { table, sets }: Context): readonly Json[] {
  if (typeof set === "string") return set.startsWith("@") ? list(sets.get(`${table} ${set.slice(1)}`) ?? [null]) : [set];
  return list(fields(set)?.["set"] ?? [null]);
}

function isFlags(value: Value): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.every((one) => typeof one === "string") &&
    (value.length === 0 || ["new", "syn"].includes(value[0]!))
  );
}

/** A set or list asks for one of its words, anything else for just these flags. */
function flagsHold(value: readonly string[], wanted: Json): Three {
  const words = wordsOf(wanted);
  if (Array.isArray(wanted) || fields(wanted)?.["set"] !== undefined) return words?.some((word) => value.includes(word));
  return words && words.length === value.length && words.every((word) => value.includes(word));
}

/** Flags as words, in any of their spellings; undefined: others. */
function wordsOf(value: Json): readonly string[] | undefined {
  if (value === 0) return [];
  const object = fields(value);
  const parts = object ? list(object["|"] ?? object["set"] ?? [null]) : list(value);
  const words = parts.flatMap((part) => (typeof part === "string" ? part : (wordsOf(fields(part) ? part : null) ?? [null])));
  return words.every((word) => typeof word === "string") ? (words as string[]) : undefined;
}

function inRange(value: Value, [low, high]: readonly Json[]): Three {
  if (typeof value === "number")
    return typeof low === "number" && typeof high === "number" ? low <= value && value <= high : undefined;
  const [ip, first, last] = [value, low, high].map((one) => (typeof one === "string" ? parseIp(one) : undefined));
  if (ip === undefined || first === undefined || last === undefined) return undefined;
  return isIpv6(ip) === isIpv6(first) && order(first, ip) <= 0 && order(ip, last) <= 0;
}

function order(a: Ip, b: Ip): number {
  const [x, y] = [a, b].map(sortable) as [string, string];
  return x < y ? -1 : Number(x > y);
}
function sortable(ip: Ip): string {
  return isIpv6(ip)
    ? full(ip)
    : ip
        .split(".")
        .map((part) => part.padStart(3, "0"))
        .join(".");
}
function full(ip: Ip): string {
  const [head = "", tail] = ip.split("::");
  const parts = (text: string | undefined): string[] => (text ? text.split(":") : []);
  const zeros = tail === undefined ? 0 : 8 - parts(head).length - parts(tail).length;
  return [...parts(head), ...new Array<string>(zeros).fill("0"), ...parts(tail)].map((part) => part.padStart(4, "0")).join(":");
}

function inPrefix(value: Value, { addr, len }: Fields): Three {
  const address = typeof addr === "string" ? parseIp(addr) : undefined;
  if (typeof value !== "string" || address === undefined || typeof len !== "number") return undefined;
  const cidr: Cidr = { address, prefixLength: len };
  return cidrContains(cidr, value as Ip);
}

function isSame(value: Value, wanted: Json): Three {
  if (typeof value === "number") return typeof wanted === "number" ? value === wanted : undefined;
  if (typeof value !== "string") return undefined;
  if (value === "found") return wanted === false ? false : undefined; // `fib … oif missing`
  if (typeof wanted !== "string") {
    const number = PROTOCOL_NUMBERS.get(value);
    return number === undefined ? undefined : number === wanted;
  }
  if (value === "unicast") return wanted === "unicast" || wanted === "host";
  return parseIp(wanted) === undefined ? isNamed(value, wanted) : parseIp(wanted) === value;
}

const PROTOCOL_NUMBERS: ReadonlyMap<string, number> = new Map([
  ["tcp", 6],
  ["udp", 17],
]);
