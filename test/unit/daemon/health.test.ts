// SPDX-License-Identifier: Apache-2.0
// What stands at the top of `weave status` although everything runs.
import { describe, expect, test } from "bun:test";
import { dataPathWarnings, filterWarning, secondBest, wireguardNotes } from "../../../src/daemon/health.ts";
import { connectionStatus, dataPath } from "../api/fake-backend.ts";

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

describe("neighbours that are not reached over the best path", () => {
  const NOW = 1_000_000;
  const other = { transport: "fastdp", encrypted: true, reason: "", sinceMs: 0, mtuBytes: null, rttMs: null } as const;
  const second = (nickname: string, changes: Parameters<typeof dataPath>[0] = {}) =>
    connectionStatus({
      peer: { name: "02:00:00:00:00:01", nickname },
      path: dataPath({
        reason: "no answer over WireGuard",
        sinceMs: NOW - 61_000,
        alternatives: [{ ...other, state: "down" }],
        ...changes,
      }),
    });

  test("are told once for each reason, with their names", () => {
    expect(secondBest([second("b"), second("a"), second("c", { reason: "the path is too narrow" })], NOW)).toEqual({
      hindered: [
        "data to a, b goes over sleeve, which is not the best path: no answer over WireGuard",
        "data to c goes over sleeve, which is not the best path: the path is too narrow",
      ],
      lacking: [],
    });
  });
  test("are told apart when the better path is not to be had between these two hosts", () => {
    const lacking = second("a", { reason: "the peer has no WireGuard", alternatives: [{ ...other, state: "unavailable" }] });
    expect(secondBest([lacking], NOW)).toEqual({
      hindered: [],
      lacking: ["data to a goes over sleeve, which is not the best path: the peer has no WireGuard"],
    });
  });
  test("are not told before a minute has passed, when the path is the best, or when there is none", () => {
    const fine = [
      second("a", { sinceMs: NOW - 59_000 }),
      second("a", { reason: "" }),
      connectionStatus(),
      { ...second("a"), state: "pending" as const },
    ];
    expect(secondBest(fine, NOW)).toEqual({ hindered: [], lacking: [] });
  });
  test("a kernel without WireGuard is told with its reason", () => {
    expect(wireguardNotes(undefined)).toEqual([]);
    expect(wireguardNotes("the module is not there")).toEqual([
      "data that must be encrypted goes over sleeve, which costs more CPU than WireGuard: the module is not there",
    ]);
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
