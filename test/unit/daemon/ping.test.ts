// SPDX-License-Identifier: Apache-2.0
// Whom a word after `weave ping` means, and how what was measured is told.
import { describe, expect, test } from "bun:test";
import { findPeer, pingResponse } from "../../../src/daemon/ping.ts";
import { type PeerName, peerNameFrom, type ShortId } from "../../../src/mesh/peer-name.ts";
import type { ConnectionView, MeshView, PeerView } from "../../../src/mesh/ports.ts";
import type { Hop, PingedPath, PingResult } from "../../../src/overlay/peer-ping.ts";

const name = (number: number): PeerName => peerNameFrom(number)!;
const known = (number: number, nickname: string): PeerView => ({
  name: name(number),
  nickname,
  uid: "01",
  shortId: number as ShortId,
  version: 1,
  connections: [],
});
const connected = (number: number, nickname: string, address: string): ConnectionView => ({
  address,
  outbound: true,
  state: "pending",
  peer: { name: name(number), nickname },
  reason: "",
  sinceMs: 0,
  passwordUsed: false,
  trusted: false,
  control: "up",
});
const VIEW: Pick<MeshView, "self" | "peers" | "connections"> = {
  self: { name: name(1), nickname: "here", uid: "01", shortId: 1 as ShortId },
  peers: [known(1, "here"), known(2, "there"), known(3, "twin"), known(4, "twin")],
  connections: [
    connected(2, "there", "10.0.0.2:6783"),
    connected(5, "behind", "10.0.0.9:40001"),
    connected(6, "nat", "10.0.0.9:40002"),
    connected(7, "six", "[fd00::7]:6783"),
  ],
};

describe("a word means", () => {
  test.each([
    ["a name", "00:00:00:00:00:02", 2],
    ["a short form of it", "::2", 2],
    ["a nickname", "there", 2],
    ["a peer that is connected and not yet in the topology", "behind", 5],
    ["the address of a connection, with its port", "10.0.0.9:40002", 6],
    ["the address alone when it is one peer's", "10.0.0.2", 2],
    ["an IPv6 address in either form", "fd00::7", 7],
    ["an IPv6 address with a port", "[fd00::7]:6783", 7],
  ])("%s", (_, word, number) => {
    expect(findPeer(VIEW, word).name).toBe(name(number));
  });
  test("nothing when it is unknown, with what was perhaps meant", () => {
    expect(() => findPeer(VIEW, "ther")).toThrow(expect.objectContaining({ code: "not-found", hint: "did you mean 'there'?" }));
    expect(() => findPeer(VIEW, "10.0.0.3")).toThrow(expect.objectContaining({ hint: "see 'weave status peers'" }));
  });
  test("no one when it could be several, who are named", () => {
    for (const word of ["twin", "10.0.0.9"]) expect(() => findPeer(VIEW, word)).toThrow("means several peers: 00:00:00:00:00:0");
  });
  test("not this host", () => {
    for (const word of ["here", "::1"]) expect(() => findPeer(VIEW, word)).toThrow(`'${word}' is this host`);
  });
});

describe("the answer", () => {
  const path = { transport: "fastdp", encrypted: true, mtuBytes: 1410, rttMs: 9 } as const;
  const hop = (from: number, to: number): Hop => ({ from: name(from), to: name(to), path });
  const pinged = (rttsMs: number[] | undefined): PingedPath => ({
    ...path,
    state: "up",
    reason: "",
    sinceMs: 0,
    inUse: true,
    series: rttsMs && { sent: 4, rttsMs },
  });
  const answer = (result: Partial<PingResult>) =>
    pingResponse(VIEW, known(2, "there"), {
      paths: [],
      route: [hop(1, 2)],
      routeEnd: "",
      control: { sent: 1, rttsMs: [1] },
      ...result,
    });

  test("has the figures of each series", () => {
    const { paths, answered } = answer({ paths: [pinged([1, 2, 3]), pinged(undefined)] });
    expect(paths.map(({ probes }) => probes)).toEqual([
      { sent: 4, received: 3, loss: 0.25, rttMs: { min: 1, avg: 2, max: 3 } },
      null,
    ]);
    expect(answered).toBe(true);
  });
  test("says no when only the daemon of a neighbour answers: no frame reaches it", () => {
    expect(answer({ paths: [pinged([])] })).toMatchObject({ answered: false, control: { received: 1 } });
  });
  test("says yes of a peer further away when frames have a route and its daemon answers", () => {
    const route = [hop(1, 3), hop(3, 2)];
    expect(answer({ route })).toMatchObject({
      answered: true,
      route: [{ to: { nickname: "twin" } }, { to: { nickname: "there" } }],
    });
    expect(answer({ route, control: { sent: 1, rttsMs: [] } }).answered).toBe(false);
    expect(answer({ route: [hop(1, 3)], routeEnd: "no-route" }).answered).toBe(false);
  });
  test("tells where the route ends", () => {
    expect(answer({ route: [], routeEnd: "no-route" }).routeEnd).toBe("no route for frames");
    const route = [hop(1, 3)];
    expect(answer({ route, routeEnd: "no-route" }).routeEnd).toBe("00:00:00:00:00:03(twin) has no route for frames to it");
    expect(answer({ route, routeEnd: "silent" }).routeEnd).toBe("00:00:00:00:00:03(twin) on the route does not answer");
    expect(answer({ route, routeEnd: "loop" }).routeEnd).toContain("changing right now");
  });
});
