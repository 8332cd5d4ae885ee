// SPDX-License-Identifier: Apache-2.0
// Which rules the host's own addresses on the bridge need. Masquerading makes the host's neighbours and the internet answer to the host:
// they have no route to the overlay. An accept in our table would not overrule a drop in somebody else's (every base chain of a hook has its
// say), so there is none: the host's own forwarding policy stays what its administrator made it.
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { isIpv6 } from "../net/ip.ts";
import type { Match, Rule, Ruleset } from "./ruleset.ts";

export interface ExposedSubnet {
  /** The host's address and the subnet it opens. */
  readonly cidr: Cidr;
  readonly masquerade: boolean;
}

const MULTICAST4 = parseCidr("224.0.0.0/4")!; // valid literals
const MULTICAST6 = parseCidr("ff00::/8")!;

/** Pure; the same exposures in any order give the same rules. */
export function planFirewall(exposed: readonly ExposedSubnet[], bridge: string): Ruleset {
  const rules = exposed
    .filter((one) => one.masquerade)
    .map((one) => one.cidr)
    .sort((a, b) => (a.address < b.address ? -1 : 1))
    .flatMap((subnet) => masquerade(subnet, bridge));
  if (rules.length === 0) return { chains: [] };
  return { chains: [{ name: "postrouting", type: "nat", hook: "postrouting", priority: "srcnat", rules }] };
}

function masquerade(subnet: Cidr, bridge: string): readonly Rule[] {
  const multicast = isIpv6(subnet.address) ? MULTICAST6 : MULTICAST4;
  const from = (op: "==" | "!="): Match => ({ field: "saddr", op, subnet });
  const to = (op: "==" | "!=", other = subnet): Match => ({ field: "daddr", op, subnet: other });
  return [
    { matches: [from("=="), to("==", multicast)], verdict: "return", comment: "multicast keeps its source" },
    {
      matches: [{ field: "oifname", op: "==", link: bridge }, from("!="), to("==")],
      verdict: "masquerade",
      comment: "outside to containers",
    },
    { matches: [from("=="), to("!=")], verdict: "masquerade", comment: "containers to outside" },
  ];
}
