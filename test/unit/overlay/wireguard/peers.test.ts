// SPDX-License-Identifier: Apache-2.0
// What WireGuard's peers should be, and what is told to the kernel for it.
import { describe, expect, test } from "bun:test";
import { type Ip, parseIp } from "../../../../src/net/ip.ts";
import type { WireguardPeer } from "../../../../src/overlay/carriers.ts";
import {
  diffWireguard,
  type HeldPeer,
  KEEPALIVE_SECONDS,
  NO_PEERS,
  planWireguard,
  type WireguardEndpoint,
} from "../../../../src/overlay/wireguard/peers.ts";
import { peerName } from "../../../support/records.ts";

const NOW = 1_000_000_000;
const OWN = { publicKey: bytes(1), inside: ip("fd77:6561:7665::1") };
type Agreed = NonNullable<WireguardPeer["agreed"]>;

function bytes(value: number): Uint8Array {
  return new Uint8Array(32).fill(value);
}
function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}
function at(address: string, port = 6785): WireguardEndpoint {
  return { address: ip(address), port };
}

/** Neighbour `number`, who has key `number` and says it is at 10.0.0.number. */
function neighbour(number: number, agreed: Partial<Agreed> | undefined = {}): WireguardPeer {
  const known = { publicKey: bytes(number), presharedKey: bytes(100), endpoint: at(`10.0.0.${number}`), keepalive: false };
  return {
    name: peerName(number),
    inside: ip(`fd77:6561:7665::${number}`),
    agreed: agreed && { ...known, ...agreed },
  };
}
/** The same as the kernel holds it, alive. */
function held(number: number, differing: Partial<HeldPeer> = {}): HeldPeer {
  return {
    publicKey: bytes(number),
    presharedKey: bytes(100),
    endpoint: at(`10.0.0.${number}`),
    keepaliveSeconds: 0,
    handshakeMs: NOW - 10_000,
    receivedBytes: 0,
    sentBytes: 0,
    allowed: [{ address: ip(`fd77:6561:7665::${number}`), prefixLength: 128 }],
    ...differing,
  };
}
function changes(neighbours: readonly WireguardPeer[], kernel: readonly HeldPeer[], before = NO_PEERS) {
  return diffWireguard(planWireguard(OWN, neighbours), kernel, { nowMs: NOW, before });
}

describe("a neighbour", () => {
  test("who is new gets all there is", () => {
    expect(changes([neighbour(2, { keepalive: true })], [])).toEqual([
      {
        do: "set",
        publicKey: bytes(2),
        isNew: true,
        presharedKey: bytes(100),
        endpoint: at("10.0.0.2"),
        keepaliveSeconds: KEEPALIVE_SECONDS,
        inside: ip("fd77:6561:7665::2"),
      },
    ]);
  });
  test("who comes to us gets no endpoint", () => {
    const [change] = changes([neighbour(2, { endpoint: undefined })], []);
    expect(change).not.toHaveProperty("endpoint");
  });
  test("without a preshared key is not set up", () => {
    expect(changes([neighbour(2, { presharedKey: undefined })], [])).toEqual([]);
  });
  test("who is as he should be is left alone", () => {
    expect(changes([neighbour(2)], [held(2)])).toEqual([]);
    expect(changes([neighbour(2, { presharedKey: undefined })], [held(2)])).toEqual([]);
  });
  test("with a new preshared key is told nothing else", () => {
    expect(changes([neighbour(2, { presharedKey: bytes(7) })], [held(2)])).toEqual([
      { do: "set", publicKey: bytes(2), isNew: false, presharedKey: bytes(7) },
    ]);
  });
  test("who has addresses of others loses them", () => {
    const allowed = [...held(2).allowed, ...held(3).allowed];
    expect(changes([neighbour(2)], [held(2, { allowed })])).toEqual([
      { do: "set", publicKey: bytes(2), isNew: false, inside: ip("fd77:6561:7665::2") },
    ]);
    const narrow = [{ address: ip("fd77:6561:7665::2"), prefixLength: 64 }];
    expect(changes([neighbour(2)], [held(2, { allowed: narrow })])).toHaveLength(1);
  });
  test("with a new key takes his address over before the old key goes", () => {
    expect(changes([neighbour(2, { publicKey: bytes(9) })], [held(2)]).map((change) => [change.do, change.publicKey[0]])).toEqual(
      [
        ["set", 9],
        ["remove", 2],
      ],
    );
  });
  test("who has gone is removed", () => {
    expect(changes([], [held(2)])).toEqual([{ do: "remove", publicKey: bytes(2) }]);
  });
  test("to whom nobody has spoken yet stays as an earlier daemon left him", () => {
    const silent = { ...neighbour(2), agreed: undefined };
    expect(changes([silent], [held(2, { endpoint: at("192.0.2.9", 4000) }), held(3)])).toEqual([
      { do: "remove", publicKey: bytes(3) },
    ]);
  });
});

describe("where a neighbour is", () => {
  const roamed = at("192.0.2.9", 40_000);

  test("is set when the kernel does not know", () => {
    expect(changes([neighbour(2)], [held(2, { endpoint: undefined })])).toMatchObject([{ endpoint: at("10.0.0.2") }]);
  });
  test("stays what the kernel has learnt while he is alive", () => {
    expect(changes([neighbour(2)], [held(2, { endpoint: roamed })])).toEqual([]);
    const before = planWireguard(OWN, [neighbour(2)]);
    expect(changes([neighbour(2, { endpoint: at("10.0.0.99") })], [held(2, { endpoint: roamed })], before)).toEqual([]);
  });
  test("is set again when he has been silent for longer than a session lasts", () => {
    const silent = { endpoint: roamed, handshakeMs: NOW - 181_000 };
    expect(changes([neighbour(2)], [held(2, silent)])).toMatchObject([{ endpoint: at("10.0.0.2") }]);
    expect(changes([neighbour(2)], [held(2, { ...silent, handshakeMs: undefined })])).toHaveLength(1);
  });
  test("follows what we are told when the kernel has only what we told it", () => {
    const before = planWireguard(OWN, [neighbour(2)]);
    expect(changes([neighbour(2, { endpoint: at("10.0.0.99") })], [held(2)], before)).toEqual([
      { do: "set", publicKey: bytes(2), isNew: false, endpoint: at("10.0.0.99") },
    ]);
  });
});

describe("who claims what is another's is left out, and the other one stays:", () => {
  const refusals = (...neighbours: readonly WireguardPeer[]) => {
    const { peers, refused } = planWireguard(OWN, neighbours);
    return { peers: [...peers.values()].map(({ name }) => Number(name)), refused: Object.fromEntries(refused) };
  };
  test("a key", () => {
    expect(refusals(neighbour(2), neighbour(3, { publicKey: bytes(2) }))).toEqual({
      peers: [2],
      refused: { 3: "it offers another peer's WireGuard key" },
    });
  });
  test("our own key", () => {
    expect(refusals(neighbour(2, { publicKey: bytes(1) })).refused).toEqual({ 2: "it offers this host's own WireGuard key" });
  });
  test("an inside address", () => {
    const thief = { ...neighbour(3), inside: neighbour(2).inside };
    expect(refusals(neighbour(2), thief).refused).toEqual({ 3: "its inside address fd77:6561:7665::2 is another peer's" });
    const own = { ...neighbour(3), inside: OWN.inside };
    expect(refusals(own).refused).toEqual({ 3: "its inside address fd77:6561:7665::1 is another peer's" });
  });
});
