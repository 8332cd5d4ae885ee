// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { decodeMessage, encodeMessage, pack } from "../../../src/mesh/codec.ts";
import type { Message } from "../../../src/mesh/message.ts";
import { diffRecords } from "../../../src/mesh/record.ts";
import { ProtocolError } from "../../../src/runtime/errors.ts";
import { entry, keyOf, peer, record, uidOf } from "./builders.ts";

const first = record(1, [2, entry(3, { outbound: false, established: false, latencyClass: 5 })]);
const second = record(1, [entry(2, { address: "[2001:db8::1]:6783" })], { version: 9 });
const MESSAGES: readonly Message[] = [
  { type: "welcome", knownUid: uidOf(7), knownVersion: 12 },
  { type: "digest", records: [1, 4_294_967_295], peers: 3, askList: true, revoked: 0, channels: [["ipam", 77]] },
  { type: "list", versions: [{ name: peer(5), uid: uidOf(5), version: 2 ** 40 }] },
  { type: "records", records: [first, second], want: [peer(9)] },
  { type: "delta", root: peer(4), delta: diffRecords(first, second) },
  { type: "record", root: peer(4), record: second },
  { type: "ping", token: 1 },
  { type: "pong", token: 2 },
  { type: "path", up: true, ask: false },
  { type: "suspect", peer: peer(2 ** 48 - 1) },
  { type: "leave", comesBack: true },
  {
    type: "broadcast",
    root: peer(1),
    source: peer(2),
    uid: uidOf(2),
    sequence: 3,
    channel: "dns",
    payload: Uint8Array.of(1, 2, 3),
  },
  { type: "unicast", source: peer(1), destination: peer(2), hopsLeft: 64, channel: "dns", payload: Uint8Array.of() },
  { type: "channel-digest", channel: "dns", digest: Uint8Array.of(9) },
  { type: "channel-repair", channel: "dns", payload: Uint8Array.of(8), digest: Uint8Array.of(9) },
  { type: "revoked", keys: [keyOf(3), keyOf(4)] },
  { type: "refer", peers: [{ name: peer(3), address: "10.0.0.3:6783" }] },
];

describe("messages", () => {
  for (const message of MESSAGES) {
    test(`'${message.type}' comes out as it went in`, () => {
      const decoded = decodeMessage(encodeMessage(message));
      expect(decoded).toBeDefined();
      expect(JSON.stringify(plain(decoded))).toBe(JSON.stringify(plain(message)));
    });
  }

  test("of every kind are in this test", () => {
    const numbers = MESSAGES.map((message) => (encodeMessage(message)[1] ?? 0) & 0x7f).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 17 }, (_, i) => i + 1));
  });

  test("of a later version are skipped", () => {
    expect(decodeMessage(pack([200, "whatever"]))).toBeUndefined();
  });

  test("with surplus fields are read", () => {
    expect(decodeMessage(pack([7, 5, "surplus", { more: 1 }]))).toEqual({ type: "ping", token: 5 });
  });

  test("with missing or wrong fields are refused", () => {
    for (const fields of [
      [],
      [7],
      [7, -1],
      [7, 1.5],
      [7, "1"],
      [1, Uint8Array.of(1), 3],
      [10, 0],
      [10, 2 ** 48],
      [16, [Uint8Array.of(1)]],
    ]) {
      expect(() => decodeMessage(pack(fields))).toThrow(ProtocolError);
    }
  });

  test("that announce more items than a mesh can have are refused", () => {
    expect(() => decodeMessage(pack([3, Array.from({ length: 5000 }, () => [1, Uint8Array.of(), 1])]))).toThrow(ProtocolError);
    expect(() => decodeMessage(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))).toThrow(ProtocolError);
  });

  test("that hold anything but plain values are refused, of kinds to be skipped too", () => {
    const ofKind200 = (...value: number[]) => Uint8Array.of(0x92, 0xcc, 200, ...value);
    const pattern = [0xc7, 0x06, 0x78, 0x92, 0xa2, 0x61, 0x2b, 0xa1, 0x67]; // a regular expression to msgpackr
    const cycle = [0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1]; // a list that holds itself
    const record = [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01]; // an object with a shape of its own
    const time = [0xd6, 0xff, 0, 0, 0, 0];
    for (const value of [pattern, cycle, record, time]) expect(() => decodeMessage(ofKind200(...value))).toThrow(ProtocolError);
    expect(() => decodeMessage(Uint8Array.of(...ofKind200(0xc0), 0xc0))).toThrow(ProtocolError); // something behind it
  });

  test("carry no control characters in names, and nothing but an address where one belongs", () => {
    const named = record(1, [], { nickname: "a\u001b[2Jb\n" });
    const decoded = decodeMessage(encodeMessage({ type: "record", root: peer(1), record: named }));
    expect(decoded?.type === "record" && decoded.record.nickname).toBe("a?[2Jb?");
    const placed = record(1, [entry(2, { address: "10.0.0.1:1\u001b[2J" })]);
    expect(() => decodeMessage(encodeMessage({ type: "record", root: peer(1), record: placed }))).toThrow(ProtocolError);
  });

  test("nested a million deep are refused", () => {
    expect(() => decodeMessage(new Uint8Array(1_000_000).fill(0x91))).toThrow(ProtocolError);
  });

  test("spend about 30 bytes on a connection", () => {
    const sizes = [10, 110].map((count) => {
      const neighbours = Array.from({ length: count }, (_, i) => entry(2 ** 47 + i, { address: "192.168.100.200:6783" }));
      return encodeMessage({ type: "record", root: peer(1), record: record(1, neighbours) }).length;
    });
    expect((sizes[1]! - sizes[0]!) / 100).toBeLessThan(36);
  });
});

/** Maps and bytes as lists, so that they can be compared as text. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return [...value.values()].map(plain);
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([key, field]) => [key, plain(field)]),
  );
}
