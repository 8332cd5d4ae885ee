// SPDX-License-Identifier: Apache-2.0
// What stands at the top of `weave status` although everything runs.
import { describe, expect, test } from "bun:test";
import { dataPathWarnings, filterWarning } from "../../../src/daemon/health.ts";
import { connectionStatus } from "../api/fake-backend.ts";

describe("neighbours to which no frame can go", () => {
  const NOW = 100_000;
  const silent = (nickname: string, changes: Parameters<typeof connectionStatus>[0] = {}) =>
    connectionStatus({
      peer: { name: "02:00:00:00:00:01", nickname },
      state: "pending",
      reason: "no answer on the data path (UDP 6784)",
      sinceMs: NOW - 60_000,
      ...changes,
    });

  test("are told once for each reason, with their names", () => {
    const other = silent("d", { reason: "a password is set" });
    expect(dataPathWarnings([silent("b"), other, silent("a")], NOW)).toEqual([
      "no data path to a, b: no answer on the data path (UDP 6784)",
      "no data path to d: a password is set",
    ]);
  });

  test("are counted when they are many", () => {
    const [warning] = dataPathWarnings(
      ["e", "d", "c", "b", "a"].map((name) => silent(name)),
      NOW,
    );
    expect(warning).toStartWith("no data path to a, b, c and 2 more: ");
  });

  test("are not told while they are new, when they are established, or when they are nobody yet", () => {
    const fine = [
      silent("a", { sinceMs: NOW - 1_000 }),
      silent("a", { state: "established" }),
      silent("a", { state: "failed", peer: null }),
    ];
    expect(dataPathWarnings(fine, NOW)).toEqual([]);
  });
});

describe("a firewall that drops what the bridge passes on", () => {
  test.each([
    ["ip filter FORWARD", "drops IPv4 broadcast and multicast between", "iptables -I FORWARD -i weave -o weave -j ACCEPT"],
    ["ip6 filter FORWARD", "drops IPv6 between", "ip6tables -I FORWARD -i weave -o weave -j ACCEPT"],
    [
      "inet firewalld forward",
      "drops broadcast, multicast and IPv6 between",
      'nft insert rule inet firewalld forward iifname "weave" oifname "weave" accept',
    ],
  ])("%s is told with what it harms and the rule that helps", (chain, harm, rule) => {
    expect(filterWarning(chain, "weave")).toContain(harm);
    expect(filterWarning(chain, "weave")).toEndWith(
      `its chain '${chain}' is asked about bridged packets too; to let them pass: ${rule}`,
    );
  });
});
