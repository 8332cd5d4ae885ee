// SPDX-License-Identifier: Apache-2.0
// Values the tests of the mesh are made of.
import type { PeerName, ShortId } from "../../../src/mesh/peer-name.ts";
import type { Hello, Link } from "../../../src/mesh/ports.ts";
import type { ConnectionEntry, PeerRecord } from "../../../src/mesh/record.ts";
import type { Clock } from "../../../src/runtime/clock.ts";
import { VirtualTime } from "../../sim/harness/virtual-clock.ts";

export const peer = (number: number): PeerName => number as PeerName;
export const shortId = (number: number): ShortId => number as ShortId;
export const keyOf = (number: number): string => number.toString(16).padStart(64, "0");
export const uidOf = (number: number): string => number.toString(16).padStart(16, "0");

export function entry(to: number, facts: Partial<ConnectionEntry> = {}): ConnectionEntry {
  return {
    peer: peer(to),
    address: `10.0.0.${to}:6783`,
    outbound: true,
    established: true,
    cut: false,
    latencyClass: 0,
    ...facts,
  };
}

export function record(
  name: number,
  neighbours: readonly (number | ConnectionEntry)[],
  facts: Partial<PeerRecord> = {},
): PeerRecord {
  const entries = neighbours.map((neighbour) => (typeof neighbour === "number" ? entry(neighbour) : neighbour));
  return {
    name: peer(name),
    uid: uidOf(name),
    version: 1,
    nickname: `host${name}`,
    shortId: shortId((name % 4094) + 1),
    key: keyOf(name),
    port: 6783,
    connections: new Map(entries.map((it) => [it.peer, it])),
    ...facts,
  };
}

/** A clock that stands still until told. */
export function manualClock(): { clock: Clock; advance(ms: number): void } {
  const time = new VirtualTime();
  const clock: Clock = { now: () => time.now(), wallMs: () => 1_000_000 + time.now(), after: (ms, fire) => time.after(ms, fire) };
  return { clock, advance: (ms) => time.runUntil(time.now() + ms) };
}

export function hello(name: number, facts: Partial<Hello> = {}): Hello {
  return {
    name: peer(name),
    nickname: `host${name}`,
    uid: uidOf(name),
    shortId: shortId(name),
    publicKey: Uint8Array.fromHex(keyOf(name)),
    port: 6783,
    nonce: name,
    trusted: false,
    transports: ["fastdp"],
    ...facts,
  };
}

/** One end of a link that goes nowhere; what is sent is kept. */
export function deadEnd(facts: Partial<Link> & { hello: Hello; sentHello: Hello }): Link & { readonly sent: Uint8Array[] } {
  const sent: Uint8Array[] = [];
  return {
    remoteAddress: `10.0.0.${facts.hello.name}:6783`,
    localAddress: "10.0.0.1:40000",
    outbound: true,
    passwordUsed: false,
    start: () => {},
    takeSecret: () => undefined,
    send: (message) => void sent.push(message),
    queuedBytes: () => 0,
    refuse: () => {},
    close: () => {},
    ...facts,
    sent,
  };
}
