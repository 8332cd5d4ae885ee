// SPDX-License-Identifier: Apache-2.0
// What a host's packet filter does with a packet, in three values: it certainly passes, it certainly does not, it cannot be told from the rules (which then
// ask for something that is not known of the packet, or in words that are not known here). Pure; the rules come from `nft-json.ts` and `iptables-save.ts`.
import type { Ip } from "../net/ip.ts";

/** true, false, or cannot be told. */
export type Three = boolean | undefined;

/** The first packet of something new from outside, for this host or through it; what is absent is not known. */
export interface Packet {
  readonly family: 4 | 6;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** Link it comes in by. */
  readonly link: string;
  /** Link it goes out by; undefined: it is for this host. */
  readonly out?: string | undefined;
  readonly from?: Ip | undefined;
  readonly to?: Ip | undefined;
}

/** What a rule may do with a packet; `next`: nothing. `goto` is a jump that does not come back. */
export type Outcome = "accept" | "drop" | "return" | "next" | { readonly jump: string } | { readonly goto: string };
/** All that may happen to this packet at the rule: one outcome, or several where it cannot be told. */
export type Rule = (packet: Packet) => readonly Outcome[];

export type Hook = "ingress" | "prerouting" | "input" | "forward" | "postrouting";

export interface BaseChain {
  /** For people, and for commands: `ip filter INPUT`, or `iptables-legacy filter INPUT` where only that shows it. */
  readonly chain: string;
  readonly hook: Hook;
  /** Only packets of this one; undefined: of both. */
  readonly family?: 4 | 6 | undefined;
  readonly priority: number;
  readonly policy: "accept" | "drop";
  /** Only packets that come in by one of these; undefined: all. */
  readonly links?: readonly string[] | undefined;
}

export interface Filter {
  readonly bases: readonly BaseChain[];
  /** By their full name. A name that is not in it is a chain that cannot be seen. */
  readonly chains: ReadonlyMap<string, readonly Rule[]>;
}

export interface Judgement {
  readonly passes: Three;
  /** The base chain that drops it, or the first that may; undefined: it passes. */
  readonly by: BaseChain | undefined;
}

/** Chains cannot form a ring in the kernel, which allows a depth of 16. */
const DEPTH_MAX = 20;
const IN: readonly Hook[] = ["ingress", "prerouting", "input"];
const THROUGH: readonly Hook[] = ["ingress", "prerouting", "forward", "postrouting"];

/** Every base chain on the way has its say: one that drops is enough. */
export function judge(filter: Filter, packet: Packet): Judgement {
  let doubtful: BaseChain | undefined;
  const way = packet.out === undefined ? IN : THROUGH;
  const asked = filter.bases
    .filter(
      ({ hook, family = packet.family, links }) =>
        way.includes(hook) && family === packet.family && (links?.includes(packet.link) ?? true),
    )
    .sort((a, b) => way.indexOf(a.hook) - way.indexOf(b.hook) || a.priority - b.priority);
  for (const base of asked) {
    const ends = endsOf(filter, base.chain, packet, 0);
    if (ends.delete("return")) ends.add(base.policy);
    if (!ends.has("drop")) continue;
    if (!ends.has("accept")) return { passes: false, by: base };
    doubtful ??= base;
  }
  return { passes: doubtful === undefined ? true : undefined, by: doubtful };
}

type End = "accept" | "drop" | "return";

/** How going through a chain may end. */
function endsOf(filter: Filter, chain: string, packet: Packet, depth: number): Set<End> {
  const rules = filter.chains.get(chain);
  if (rules === undefined || depth > DEPTH_MAX) return new Set(["accept", "drop", "return"]);
  const ends = new Set<End>();
  for (const rule of rules) {
    let goesOn = false;
    for (const outcome of rule(packet)) {
      if (outcome === "next") goesOn = true;
      else if (typeof outcome === "string") ends.add(outcome);
      else {
        const returns = "jump" in outcome;
        const inner = endsOf(filter, returns ? outcome.jump : outcome.goto, packet, depth + 1);
        if (returns && inner.delete("return")) goesOn = true;
        for (const end of inner) ends.add(end);
      }
    }
    if (!goesOn) return ends;
  }
  return ends.add("return");
}

/** What a rule with these matches may do, all of which must hold. */
export function outcomes(matches: readonly Three[], verdict: readonly Outcome[]): readonly Outcome[] {
  if (matches.includes(false)) return ["next"];
  return matches.includes(undefined) ? [...verdict, "next"] : verdict;
}

export function not(three: Three): Three {
  return three === undefined ? undefined : !three;
}

/** True when one of them is. */
export function any(values: readonly Three[]): Three {
  if (values.includes(true)) return true;
  return values.includes(undefined) ? undefined : false;
}

/** `eth*` and, in iptables' words, `eth+` stand for all that begin so. */
export function isNamed(link: string, pattern: string): boolean {
  return /[*+]$/.test(pattern) ? link.startsWith(pattern.slice(0, -1)) : link === pattern;
}

/** `ip filter` of `ip filter INPUT`. */
export function tableOf(chain: string): string {
  return chain.split(" ").slice(0, 2).join(" ");
}
