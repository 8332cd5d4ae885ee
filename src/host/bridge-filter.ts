// SPDX-License-Identifier: Apache-2.0
// Does this host's firewall drop frames between the ports of a bridge? With br_netfilter, which Docker and Kubernetes load, the kernel shows
// bridged IP packets to the chains for forwarded ones, and Docker makes those drop what it does not know.
import { allowsBridge } from "../firewall/ruleset.ts";
import { NftFirewall } from "./nft.ts";
import { readSysctl } from "./sysctl.ts";

/** Where people are told to put rules of their own, because Docker leaves them alone. */
const USER_CHAIN = "DOCKER-USER";

/** Chains such as `ip filter FORWARD` that drop what `bridge` passes on; empty when none does, or libnftables is missing.
 *  Rules of iptables-legacy cannot be seen this way. */
export async function chainsAgainst(bridge: string): Promise<readonly string[]> {
  const families = shownFamilies();
  if (families.size === 0) return [];
  using firewall = new NftFirewall();
  const dropping = (await firewall.droppingChains()).filter((chain) => families.has(chain.split(" ")[0] ?? ""));
  return dropping.filter((chain) => !allowsBridge(rulesOf(firewall, chain), bridge));
}

/** Whether the kernel shows bridged packets to chains for what is forwarded. */
export function bridgeIsShown(): Readonly<Record<4 | 6, boolean>> {
  const isOn = (name: string): boolean => readSysctl(`net/bridge/bridge-nf-call-${name}`) === "1";
  return { 4: isOn("iptables"), 6: isOn("ip6tables") };
}

/** Families of the chains that are asked then. */
function shownFamilies(): ReadonlySet<string> {
  const shown = bridgeIsShown();
  return new Set([...(shown[4] ? ["ip", "inet"] : []), ...(shown[6] ? ["ip6", "inet"] : [])]);
}

function rulesOf(firewall: NftFirewall, chain: string): string {
  const rules = firewall.listChain(chain);
  if (!rules.includes(`jump ${USER_CHAIN}`)) return rules;
  return rules + firewall.listChain(chain.replace(/\S+$/, USER_CHAIN));
}
