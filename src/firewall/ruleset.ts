// SPDX-License-Identifier: Apache-2.0
// Our nftables table as data and as text. The whole table is replaced in one transaction, so there is never a moment without its rules.
import { type Cidr, formatCidr, networkOf } from "../net/cidr.ts";
import { isIpv6 } from "../net/ip.ts";

/** Family and name of the only table we write. */
export const TABLE = "inet weave";

export type Match =
  | { readonly field: "saddr" | "daddr"; readonly op: "==" | "!="; readonly subnet: Cidr }
  | { readonly field: "iifname" | "oifname"; readonly op: "==" | "!="; readonly link: string };

export interface Rule {
  readonly matches: readonly Match[];
  readonly verdict: "accept" | "drop" | "return" | "masquerade";
  readonly comment: string;
}

export interface Chain {
  readonly name: string;
  readonly type: "filter" | "nat";
  readonly hook: "forward" | "postrouting";
  /** A name nft knows: `filter`, `srcnat`. */
  readonly priority: string;
  readonly rules: readonly Rule[];
}

/** No chain: the table should not exist. */
export interface Ruleset {
  readonly chains: readonly Chain[];
}

/** Commands for nft(8) that put `ruleset` in the table's place, whatever it held. */
export function renderRuleset(ruleset: Ruleset): string {
  // Adding first makes deleting valid whether the table exists or not; all of it is one transaction.
  const clear = `add table ${TABLE}\ndelete table ${TABLE}\n`;
  if (ruleset.chains.length === 0) return clear;
  return `${clear}table ${TABLE} {\n${ruleset.chains.map(renderChain).join("")}}\n`;
}

function renderChain(chain: Chain): string {
  const head = `\t\ttype ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy accept;\n`;
  return `\tchain ${chain.name} {\n${head}${chain.rules.map((rule) => `\t\t${renderRule(rule)}\n`).join("")}\t}\n`;
}

function renderRule(rule: Rule): string {
  return [...rule.matches.map(renderMatch), rule.verdict, `comment "${rule.comment}"`].join(" ");
}

function renderMatch(match: Match): string {
  const op = match.op === "==" ? "" : "!= ";
  if ("link" in match) return `${match.field} ${op}"${match.link}"`;
  const { subnet } = match;
  const network = formatCidr({ ...subnet, address: networkOf(subnet) });
  return `${isIpv6(subnet.address) ? "ip6" : "ip"} ${match.field} ${op}${network}`;
}

/** Chains of other people that drop what the host forwards, from the text of `list chains`: `ip filter FORWARD`, … */
export function droppingForwardChains(listing: string): readonly string[] {
  return filterChains(listing, "forward").flatMap(({ chain, drops }) => (drops ? chain : []));
}

/** Filter chains at a hook, from the text of `list chains`; `drops`: by their policy. */
export function filterChains(listing: string, hook: "forward" | "input"): readonly { chain: string; drops: boolean }[] {
  const found: { chain: string; drops: boolean }[] = [];
  let table = "";
  let chain = "";
  for (const line of listing.split("\n")) {
    table = /^table (\S+ \S+)/.exec(line)?.[1] ?? table;
    chain = /^\s+chain (\S+)/.exec(line)?.[1] ?? chain;
    if (line.includes(`type filter hook ${hook} `))
      found.push({ chain: `${table} ${chain}`, drops: line.includes("policy drop;") });
  }
  return found;
}

/** Does a chain, from the text of `list chain`, end with a rule that lets nothing pass? */
export function refusesTheRest(listing: string): boolean {
  const rules = listing
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== "}");
  return /^(counter packets \d+ bytes \d+ )?(drop|reject)\b/.test(rules.at(-1) ?? "");
}

/** Does a table, from the text of `list table`, name this port as a destination, itself or within a range? undefined: it names sets, maps or
 *  services whose content does not stand there. */
export function namesPort(listing: string, protocol: "tcp" | "udp", port: number): boolean | undefined {
  let isHidden = false;
  for (const line of listing.split("\n")) {
    const [, values = ""] = new RegExp(`\\b${protocol} dport (\\{[^}]*\\}|\\S+)`).exec(line) ?? [];
    if (values.startsWith("@")) isHidden = true;
    const ranges = [...values.matchAll(/(\d+)(?:-(\d+))?/g)];
    if (!values.startsWith("@") && ranges.some(([, low, high = low]) => Number(low) <= port && port <= Number(high))) return true;
  }
  return isHidden ? undefined : false;
}

/** Has a chain, from the text of `list chain`, a rule that lets pass what comes in at the bridge, or what goes out there? */
export function allowsBridge(listing: string, bridge: string): boolean {
  const atBridge = [`iifname "${bridge}"`, `oifname "${bridge}"`];
  return listing.split("\n").some((line) => /\baccept\b/.test(line) && atBridge.some((match) => line.includes(match)));
}
