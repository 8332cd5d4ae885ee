// SPDX-License-Identifier: Apache-2.0
// The order in which WireGuard's link is made and mended. What the kernel makes of it is test/vm/guest/wireguard.guest.ts.
import { describe, expect, test } from "bun:test";
import type { Link } from "../../../src/host/links.ts";
import type { Route } from "../../../src/host/routes.ts";
import {
  LOCK_RULES,
  planWireguardLink,
  type WireguardLinkPlan,
  type WireguardSeen,
  wireguardMtu,
} from "../../../src/host/wireguard-plan.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { INSIDE_PREFIX } from "../../../src/overlay/wireguard/inside.ts";
import { isRoot, ScratchNetns } from "./scratch.ts";

const inside = parseIp("fd77:6561:7665::1")!;
const PLAN: WireguardLinkPlan = { port: 6785, inside, mtuBytes: 1420 };
const LOCK: Route = {
  destination: INSIDE_PREFIX,
  table: 254,
  linkIndex: undefined,
  gateway: undefined,
  source: undefined,
  metric: 2 ** 32 - 1,
  mtuBytes: undefined,
  local: false,
};
const WAY: Route = { ...LOCK, table: 6785, linkIndex: 9, metric: 1024 };
const LINK: Partial<Link> = { index: 9, name: "weave-wg", kind: "wireguard", mtuBytes: 1420, up: true, addressless: true };

function seen(differing: Partial<WireguardSeen> = {}): WireguardSeen {
  return {
    link: LINK as Link, // the plan looks at no other field
    rules: LOCK_RULES,
    routes: [LOCK, WAY],
    addresses: [{ address: inside, prefixLength: 128 }],
    isLocal: true,
    device: { hasKey: true, port: 6785 },
    ...differing,
  };
}
const steps = (differing?: Partial<WireguardSeen>) => planWireguardLink(PLAN, seen(differing)).map(({ do: what }) => what);
const NOTHING = { link: undefined, rules: [], routes: [], addresses: [], isLocal: false, device: undefined };

describe("WireGuard's link", () => {
  test("is left alone when all is right", () => {
    expect(steps()).toEqual([]);
  });
  test("is made behind the locks, and the way in is opened last", () => {
    // biome-ignore format: one list
    expect(steps(NOTHING)).toEqual([
      "lock-rule", "lock-rule", "lock-route", "create", "key", "port", "addressless", "up", "address", "way",
    ]);
  });
  test("gets back what it has lost, and nothing else is touched", () => {
    expect(steps({ device: { hasKey: false, port: 6785 } })).toEqual(["key"]);
    expect(steps({ device: { hasKey: true, port: 1 } })).toEqual(["port"]);
    expect(steps({ routes: [LOCK] })).toEqual(["way"]);
    expect(steps({ routes: [WAY] })).toEqual(["lock-route"]);
    expect(steps({ rules: LOCK_RULES.slice(1) })).toEqual(["lock-rule"]);
    expect(steps({ isLocal: false })).toEqual(["address"]);
    expect(steps({ addresses: [{ address: parseIp("fd77:6561:7665::2")!, prefixLength: 128 }] })).toEqual([
      "remove-address",
      "address",
    ]);
    expect(steps({ link: { ...seen().link, up: false, mtuBytes: 1300, addressless: false } as Link })).toEqual([
      "mtu",
      "addressless",
      "up",
    ]);
  });
  test("is not shut out by a way through another link, or one of another table", () => {
    expect(steps({ routes: [LOCK, { ...WAY, linkIndex: 4 }] })).toEqual(["way"]);
    expect(steps({ routes: [{ ...LOCK, table: 7 }, WAY] })).toEqual(["lock-route"]);
  });
  test("of another kind is not touched", () => {
    expect(() => steps({ link: { ...seen().link, kind: "dummy" } as Link })).toThrow("exists and is of kind 'dummy'");
  });
  test("is as large as the underlay allows, and never too small for IPv6", () => {
    expect([9000, 1500, 1350].map(wireguardMtu)).toEqual([8920, 1420, 1280]);
  });
});

describe.skipIf(!isRoot)("the locks (need root)", () => {
  test("are found again as they were made, and go again", () => {
    using scratch = ScratchNetns.make();
    const { rules, routes } = scratch.links;
    expect(LOCK_RULES.map((rule) => rules.add(rule))).toEqual([true, true]);
    expect(LOCK_RULES.map((rule) => rules.add(rule))).toEqual([false, false]);
    expect(rules.list()).toEqual([...LOCK_RULES]);
    routes.replace({ destination: INSIDE_PREFIX, linkIndex: undefined, metric: LOCK.metric });
    expect(routes.list().filter(({ destination }) => destination.prefixLength === 48)).toEqual([LOCK]);
    expect(routes.towards(inside)).toBeUndefined();
    expect(routes.delete({ destination: INSIDE_PREFIX, linkIndex: undefined, metric: LOCK.metric })).toBe(true);
    expect(LOCK_RULES.map((rule) => rules.delete(rule))).toEqual([true, true]);
    expect(LOCK_RULES.map((rule) => rules.delete(rule))).toEqual([false, false]);
    expect(rules.list()).toEqual([]);
  });
});
