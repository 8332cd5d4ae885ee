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

/** Chains of other people that drop what the host forwards by their policy, from the text of `list chains`: `ip filter FORWARD`, … */
export function droppingForwardChains(listing: string): readonly string[] {
  const found: string[] = [];
  let table = "";
  let chain = "";
  for (const line of listing.split("\n")) {
    table = /^table (\S+ \S+)/.exec(line)?.[1] ?? table;
    chain = /^\s+chain (\S+)/.exec(line)?.[1] ?? chain;
    if (line.includes("type filter hook forward ") && line.includes("policy drop;")) found.push(`${table} ${chain}`);
  }
  return found;
}

/** Has a chain, from the text of `list chain`, a rule that lets pass what comes in at the bridge, or what goes out there? */
export function allowsBridge(listing: string, bridge: string): boolean {
  const atBridge = [`iifname "${bridge}"`, `oifname "${bridge}"`];
  return listing.split("\n").some((line) => /\baccept\b/.test(line) && atBridge.some((match) => line.includes(match)));
}
