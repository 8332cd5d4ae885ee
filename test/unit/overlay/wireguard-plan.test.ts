// SPDX-License-Identifier: Apache-2.0
// Which changes lead from the peers the kernel holds to those it should hold.
import { expect, test } from "bun:test";
import { peerNameFrom } from "../../../src/mesh/peer-name.ts";
import { type Ip, ipBytes } from "../../../src/net/ip.ts";
import type { WireguardPeer } from "../../../src/overlay/carriers.ts";
import { planPeers, type SeenPeer } from "../../../src/overlay/wireguard/plan.ts";

const NOW = 1_000_000;
const key = (number: number): Uint8Array => new Uint8Array(32).fill(number);
const inside = (number: number): Ip => `fd77:6561:7665::${number}` as Ip;
const endpoint = { address: "10.0.0.2" as Ip, port: 6785 };

function wanted(number: number, agreed: Partial<NonNullable<WireguardPeer["agreed"]>> = {}): WireguardPeer {
  return {
    name: peerNameFrom(number)!,
    inside: inside(number),
    agreed: { publicKey: key(number), presharedKey: key(100), endpoint, keepalive: false, ...agreed },
  };
}
function seen(number: number, more: Partial<SeenPeer> = {}): SeenPeer {
  return {
    publicKey: key(number),
    presharedKey: key(100),
    endpoint: { address: ipBytes(endpoint.address), port: endpoint.port },
    keepaliveSeconds: 0,
    lastHandshakeSeconds: NOW - 10,
    allowed: [ipBytes(inside(number))],
    ...more,
  };
}

test("a new peer gets everything at once", () => {
  expect(planPeers([wanted(2, { keepalive: true })], [], NOW)).toEqual([
    {
      publicKey: key(2),
      presharedKey: key(100),
      endpoint: { address: ipBytes(endpoint.address), port: 6785 },
      keepaliveSeconds: 20,
      allowed: ipBytes(inside(2)),
    },
  ]);
});

test("what is right is not touched", () => {
  expect(planPeers([wanted(2), wanted(3)], [seen(3), seen(2)], NOW)).toEqual([]);
});

test("another preshared key changes only that, and none leaves the one there is", () => {
  expect(planPeers([wanted(2, { presharedKey: key(7) })], [seen(2)], NOW)).toEqual([{ publicKey: key(2), presharedKey: key(7) }]);
  expect(planPeers([wanted(2, { presharedKey: undefined })], [seen(2)], NOW)).toEqual([]);
});

test("where a peer was heard from last is kept while it answers there, and replaced when it does not", () => {
  const roamed = { address: ipBytes("192.0.2.7" as Ip), port: 40_000 };
  expect(planPeers([wanted(2)], [seen(2, { endpoint: roamed })], NOW)).toEqual([]);
  const silent = seen(2, { endpoint: roamed, lastHandshakeSeconds: NOW - 300 });
  expect(planPeers([wanted(2)], [silent], NOW)).toMatchObject([{ endpoint: { port: 6785 } }]);
});

test("strangers go, and before anybody gets their address", () => {
  const stranger = seen(9, { allowed: [ipBytes(inside(2))] });
  const plan = planPeers([wanted(2)], [stranger], NOW);
  expect(plan[0]).toEqual({ publicKey: key(9), isRemoved: true });
  expect(plan[1]).toMatchObject({ publicKey: key(2), allowed: ipBytes(inside(2)) });
});

test("a peer of an earlier daemon that has not spoken to us yet stays as it is", () => {
  const adopted: WireguardPeer = { name: peerNameFrom(2)!, inside: inside(2), agreed: undefined };
  expect(planPeers([adopted], [seen(2), seen(3)], NOW)).toEqual([{ publicKey: key(3), isRemoved: true }]);
});
