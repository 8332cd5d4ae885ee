// SPDX-License-Identifier: Apache-2.0
// The host's packet filter: which kind it is, whether it keeps peers out, and whether it drops what the bridge passes on. It is read, never written.
import { existsSync, readFileSync } from "node:fs";
import { namesPort, refusesTheRest } from "../firewall/ruleset.ts";
import { chainsAgainst } from "../host/bridge-filter.ts";
import { NftFirewall } from "../host/nft.ts";
import type { Check, Patient } from "./examine.ts";
import { bad, type Finding, ok, unknown } from "./finding.ts";

const LEGACY = ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"];

export const firewall: Check = {
  id: "firewall",
  async look(patient) {
    const { config } = patient;
    using tables = new NftFirewall();
    const chains = tables.inputChains();
    if (chains === undefined)
      return [unknown("firewall", "it cannot be read without libnftables", "see the finding 'libraries'")];
    const findings: Finding[] = [];
    const legacy = LEGACY.filter((path) => existsSync(path) && readFileSync(path, "utf8").trim() !== "");
    if (legacy.length > 0)
      findings.push(unknown("firewall", "rules of iptables-legacy are in use, which cannot be seen here", "iptables-legacy -S"));
    const closed = chains.filter(({ chain, drops }) => drops || refusesTheRest(tables.listChain(chain)));
    for (const { chain } of closed) findings.push(...keptOut(patient, chain, tables.listTable(tableOf(chain))));
    for (const chain of await chainsAgainst(config.weaveBridge)) {
      const text = `'${chain}' drops broadcast, multicast or IPv6 between containers: bridged packets are shown to it`;
      findings.push(bad("firewall", "warning", text, letBridgePass(chain, config.weaveBridge)));
    }
    return findings.some(({ result }) => result !== "ok")
      ? findings
      : [ok("firewall", `${kindOf(chains)} keeps nothing of weave out`)];
  },
};

function tableOf(chain: string): string {
  return chain.split(" ").slice(0, 2).join(" ");
}

function kindOf(chains: readonly { readonly chain: string }[]): string {
  if (chains.some(({ chain }) => chain.includes("firewalld"))) return "firewalld";
  return chains.length === 0 ? "the packet filter, which is empty for what comes in," : "the host's nftables";
}

function letBridgePass(chain: string, bridge: string): string {
  return `nft insert rule ${chain} iifname "${bridge}" oifname "${bridge}" accept`;
}

/** The ports other hosts come to. WireGuard's only when data is encrypted. */
function portsOf({ config: { port, passwords } }: Patient): readonly ["tcp" | "udp", number][] {
  return [["tcp", port], ["udp", port], ["udp", port + 1], ...(passwords.length > 0 ? [["udp", port + 2] as const] : [])].map(
    ([protocol, number]) => [protocol as "tcp" | "udp", Number(number)],
  );
}

/** @param table the whole of it as text, because chains jump to others */
function keptOut(patient: Patient, chain: string, table: string): Finding[] {
  const ports = portsOf(patient).map(([protocol, port]) => ({ protocol, port, open: namesPort(table, protocol, port) }));
  const words = (list: typeof ports): string => list.map(({ protocol, port }) => `${protocol} ${port}`).join(", ");
  const shut = ports.filter(({ open }) => open === false);
  const hidden = ports.filter(({ open }) => open === undefined);
  const fix = letPeersIn(chain, shut);
  if (shut.length > 0)
    return [bad("firewall", "warning", `'${chain}' refuses what it does not know, and no rule names ${words(shut)}`, fix)];
  if (hidden.length > 0)
    return [unknown("firewall", `'${chain}' refuses what it does not know; whether it lets in ${words(hidden)} stands in sets`)];
  return [];
}

function letPeersIn(chain: string, ports: readonly { protocol: string; port: number }[]): string {
  if (chain.includes("firewalld")) return "firewall-cmd --permanent --add-service=weave && firewall-cmd --reload";
  if (existsSync("/usr/sbin/ufw") && /^ip6? filter/.test(chain)) {
    return ports.map(({ protocol, port }) => `ufw allow ${port}/${protocol}`).join("; ");
  }
  return ports.map(({ protocol, port }) => `nft insert rule ${chain} ${protocol} dport ${port} accept`).join("; ");
}
