// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { planFirewall } from "../../../src/firewall/plan.ts";
import { allowsBridge, droppingForwardChains, renderRuleset } from "../../../src/firewall/ruleset.ts";
import { parseCidr } from "../../../src/net/cidr.ts";

const exposed = (text: string, masquerade = true) => ({ cidr: parseCidr(text)!, masquerade });

describe("rules of the host's addresses", () => {
  test("one subnet: multicast keeps its source, both directions are masqueraded, the rest is untouched", () => {
    expect(renderRuleset(planFirewall([exposed("10.32.1.1/24")], "weave"))).toBe(
      [
        "add table inet weave",
        "delete table inet weave",
        "table inet weave {",
        "\tchain postrouting {",
        "\t\ttype nat hook postrouting priority srcnat; policy accept;",
        '\t\tip saddr 10.32.1.0/24 ip daddr 224.0.0.0/4 return comment "multicast keeps its source"',
        '\t\toifname "weave" ip saddr != 10.32.1.0/24 ip daddr 10.32.1.0/24 masquerade comment "outside to containers"',
        '\t\tip saddr 10.32.1.0/24 ip daddr != 10.32.1.0/24 masquerade comment "containers to outside"',
        "\t}",
        "}",
        "",
      ].join("\n"),
    );
  });

  test("IPv6 has its own words", () => {
    const text = renderRuleset(planFirewall([exposed("fd00:1::1/64")], "weave"));
    expect(text).toContain("ip6 saddr fd00:1::/64 ip6 daddr ff00::/8 return");
    expect(text).toContain("ip6 saddr fd00:1::/64 ip6 daddr != fd00:1::/64 masquerade");
  });

  test("the order of exposing does not matter; what is not masqueraded has no rule", () => {
    const [one, two, plain] = [exposed("10.32.1.1/24"), exposed("10.32.2.1/24"), exposed("10.32.3.1/24", false)];
    expect(planFirewall([two, plain, one], "weave")).toEqual(planFirewall([one, two], "weave"));
    expect(planFirewall([plain], "weave")).toEqual({ chains: [] });
  });

  test("nothing wanted means no table", () => {
    expect(renderRuleset({ chains: [] })).toBe("add table inet weave\ndelete table inet weave\n");
  });
});

test("other people's chains that drop forwarded traffic are found in a listing", () => {
  const listing = `table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
	chain DOCKER {
	}
}
table inet firewalld {
	chain filter_FORWARD {
		type filter hook forward priority filter + 10; policy accept;
	}
	chain other {
		type filter hook forward priority -5; policy drop;
	}
}`;
  expect(droppingForwardChains(listing)).toEqual(["ip filter FORWARD", "inet firewalld other"]);
  expect(droppingForwardChains("")).toEqual([]);
});

test.each([
  ['\t\tiifname "weave" oifname "weave" counter accept', true],
  ['\t\toifname "weave" accept', true],
  ['\t\tiifname "weave2" accept\n\t\tiifname "weave" drop', false],
  ['\t\tiifname != "weave" accept', false],
  ["\t\ttype filter hook forward priority filter; policy drop;", false],
])("a chain with %j lets the bridge 'weave' pass: %p", (rules, expected) => {
  expect(allowsBridge(`table ip filter {\n\tchain FORWARD {\n${rules}\n\t}\n}\n`, "weave")).toBe(expected);
});
