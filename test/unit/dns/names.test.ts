// SPDX-License-Identifier: Apache-2.0
// One peer's names: written down before they are told, and defended against who claims to speak for it.
import { describe, expect, test } from "bun:test";
import { decodeDeltas, encodeDeltas, type OriginDelta } from "../../../src/dns/codec.ts";
import type { Entry } from "../../../src/dns/entry.ts";
import { parseName } from "../../../src/dns/name.ts";
import { Names } from "../../../src/dns/names.ts";
import type { GossipHandler } from "../../../src/mesh/ports.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { peerName } from "../../support/records.ts";

const SELF = peerName(1);
const OTHER = peerName(2);
const entry = (name: string, address = "10.32.0.1", container = "c1"): Entry => ({
  name: `${name}.weave.local.`,
  container,
  address: parseIp(address)!,
});

function peer(stored: readonly Entry[] = []) {
  const told: OriginDelta[] = [];
  const written: (readonly Entry[])[][] = [];
  const state: { handler: GossipHandler | undefined; isFull: boolean } = { handler: undefined, isFull: false };
  const names = new Names(SELF, {
    clock: { now: () => 0, wallMs: () => 1000, after: () => ({ [Symbol.dispose]: () => {} }) },
    journal: {
      names: () => stored,
      change(added, removed) {
        if (state.isFull) throw new UserError("unavailable", "the disk is full");
        written.push([added, removed]);
      },
    },
    channel(handler) {
      state.handler = handler;
      return { broadcast: (bytes) => void told.push(...decodeDeltas(bytes)), unicast: () => true };
    },
  });
  const hear = (delta: OriginDelta) => state.handler!.merge(OTHER, encodeDeltas([delta]));
  const count = (name: string): number => (names.directory.addresses(parseName(`${name}.weave.local`)!.key)?.a.length ?? 0) / 4; // bytes of an address
  return { names, told, written, state, hear, count };
}

describe("own names", () => {
  test("of the last life are told with the first message of this one, even when there is none", () => {
    const { names, told, count } = peer([entry("web")]);
    expect([count("web"), told.length]).toEqual([1, 0]);
    names.start();
    expect(told).toMatchObject([{ origin: SELF, from: 0, to: 1, changes: [{ removed: false }] }]);
    const empty = peer();
    empty.names.start();
    expect(empty.told).toMatchObject([{ origin: SELF, from: 0, to: 0, changes: [] }]);
  });

  test("that cannot be written down do not exist", () => {
    const { names, told, state, count } = peer();
    names.start();
    state.isFull = true;
    expect(() => names.change([entry("web")])).toThrow("the disk is full");
    expect([count("web"), told.length]).toEqual([0, 1]);
  });

  test("are written and told once, however often and in whatever case they are given", () => {
    const { names, told, written } = peer();
    names.start();
    expect([names.change([entry("web")]), names.change([entry("WEB"), entry("web")])]).toEqual([1, 0]);
    expect([told.length, written.length]).toEqual([2, 1]);
    expect(names.remove({ name: "Web.weave.local." })).toBe(1);
    expect(told.at(-1)).toMatchObject({ from: 1, to: 2, changes: [{ removed: true, version: 2 }] });
  });

  test("cannot be taken over: whoever speaks for us with a later number is overruled", () => {
    const { names, told, hear, count } = peer([entry("web")]);
    names.start();
    const forged = { entry: entry("evil", "10.66.66.66"), version: 5, removed: false };
    expect(hear({ origin: SELF, epoch: 1000, from: 0, to: 5, floor: 0, changes: [forged] })).toBeUndefined();
    expect(told.at(-1)).toMatchObject({ epoch: 1001, from: 0, changes: [{ entry: { name: "web.weave.local." } }] });
    hear({ origin: SELF, epoch: 9999, from: 0, to: 0, floor: 0, changes: [] });
    expect(told.at(-1)).toMatchObject({ epoch: 10_000, from: 0, changes: [{ entry: { name: "web.weave.local." } }] });
    expect([count("evil"), count("web")]).toEqual([0, 1]);
  });
});

test("names of others show while their peer is here", () => {
  const { names, hear, count } = peer();
  const delta = {
    origin: OTHER,
    epoch: 7,
    from: 0,
    to: 1,
    floor: 0,
    changes: [{ entry: entry("web"), version: 1, removed: false }],
  };
  hear(delta);
  expect([count("web"), names.size, names.list().length]).toEqual([0, 0, 0]);
  names.setPeers(new Set([SELF, OTHER]));
  expect([count("web"), names.size]).toEqual([1, 1]);
  names.setPeers(new Set([SELF]));
  expect(count("web")).toBe(0);
  names.setPeers(new Set([OTHER]));
  expect(count("web")).toBe(1);
  hear({ ...delta, epoch: 8, to: 0, changes: [] });
  expect(count("web")).toBe(0);
});
