// SPDX-License-Identifier: Apache-2.0
// The link between the switch and the sleeve: made once, left alone when it is right, repaired when it is not.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { removeBridge } from "../../../src/host/bridge.ts";
import { CAPTURE_END, ensureSleeveLink, SWITCH_END } from "../../../src/host/sleeve-link.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { isRoot, ScratchNetns, testMac } from "./scratch.ts";

const MAC = testMac(0x10);

describe.skipIf(!isRoot)("the sleeve link", () => {
  let host: ScratchNetns;
  beforeEach(() => {
    host = ScratchNetns.make();
  });
  afterEach(() => host?.[Symbol.dispose]());

  const ensure = () => ensureSleeveLink(host.links, MAC);
  const end = (name: string) => {
    const link = host.links.get(name);
    if (link === undefined) throw new Error(`no link '${name}'`);
    return link;
  };
  function expectRight(): void {
    for (const name of [SWITCH_END, CAPTURE_END]) {
      expect(end(name)).toMatchObject({
        kind: "veth",
        mtuBytes: 65_535,
        up: true,
        running: true,
        addressless: true,
        master: undefined,
      });
      expect(host.links.addresses(end(name).index)).toEqual([]);
      for (const feature of ["tcp-segmentation-offload", "tx-udp-segmentation", "tx-checksum-ip-generic"]) {
        expect(host.run("ethtool", "-k", name)).toMatch(new RegExp(`^\\s*${feature}: on`, "m"));
      }
    }
    expect(end(SWITCH_END).peerIndex).toBe(end(CAPTURE_END).index);
  }

  test("is a pair for frames of any size, without addresses, made once", () => {
    const made = ensure();
    expect(made).toEqual({ ifindex: end(SWITCH_END).index, repaired: ["sleeve link was missing"] });
    expectRight();
    expect(end(SWITCH_END).mac).not.toBe(end(CAPTURE_END).mac);
    expect(ensure()).toEqual({ ifindex: made.ifindex, repaired: [] });
  });

  const DAMAGE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["an end with another MTU", [`link set ${CAPTURE_END} mtu 1500`], [`'${CAPTURE_END}' had another MTU`]],
    ["an end that is down", [`link set ${SWITCH_END} down`], [`'${SWITCH_END}' was down`]],
    [
      "an end that gave itself an address",
      [`link set ${SWITCH_END} addrgenmode eui64`, `addr add fe80::5/64 dev ${SWITCH_END}`],
      [`'${SWITCH_END}' gave itself addresses`],
    ],
  ];
  for (const [what, commands, repaired] of DAMAGE) {
    test(`${what} is repaired in place`, () => {
      const { ifindex } = ensure();
      for (const command of commands) host.run("ip", ...command.split(" "));
      expect(ensure()).toEqual({ ifindex, repaired: [...repaired] });
      expectRight();
    });
  }

  test("whose pair is torn is made anew", () => {
    ensure();
    host.run("ip", "link", "del", SWITCH_END);
    host.run("ip", "link", "add", SWITCH_END, "type", "veth", "peer", "name", "elsewhere");
    host.run("ip", "link", "add", CAPTURE_END, "type", "veth", "peer", "name", "elsewhere2");
    expect(ensure().repaired).toEqual(["sleeve link was missing"]);
    expectRight();
  });

  test("is not made in place of somebody else's link", () => {
    host.run("ip", "link", "add", CAPTURE_END, "type", "bridge");
    expect(ensure).toThrow(UserError);
    expect(ensure).toThrow(`cannot set up '${CAPTURE_END}': a link of kind 'bridge' has that name`);
    expect(host.links.get(SWITCH_END)).toBeUndefined();
  });

  test("goes with the bridge", () => {
    ensure();
    expect(removeBridge(host.links)).toHaveLength(1); // the other end goes with it
    expect(host.links.list().map(({ name }) => name)).toEqual(["lo"]);
  });
});
