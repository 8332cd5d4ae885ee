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

/** Chains that drop what this host forwards between `bridge` and the outside, where it is a gateway; `userChain`: where Docker leaves room for the
 *  rule that opens them. */
export async function chainsAgainstForwarding(bridge: string): Promise<readonly { chain: string; userChain: string }[]> {
  using firewall = new NftFirewall();
  const dropping = (await firewall.droppingChains()).filter((chain) => !allowsBridge(rulesOf(firewall, chain), bridge));
  return dropping.map((chain) => {
    const userChain = chain.replace(/\S+$/, USER_CHAIN);
    return { chain, userChain: firewall.listChain(userChain) === "" ? chain : userChain };
  });
}

/** Families of chains to which the kernel shows bridged packets. */
function shownFamilies(): ReadonlySet<string> {
  const families = new Set<string>();
  if (readSysctl("net/bridge/bridge-nf-call-iptables") === "1") families.add("ip").add("inet");
  if (readSysctl("net/bridge/bridge-nf-call-ip6tables") === "1") families.add("ip6").add("inet");
  return families;
}

function rulesOf(firewall: NftFirewall, chain: string): string {
  const rules = firewall.listChain(chain);
  if (!rules.includes(`jump ${USER_CHAIN}`)) return rules;
  return rules + firewall.listChain(chain.replace(/\S+$/, USER_CHAIN));
}
