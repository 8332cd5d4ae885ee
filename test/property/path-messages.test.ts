// SPDX-License-Identifier: Apache-2.0
// Messages between the data paths of two neighbours: what is encoded is decoded, and no bytes of a peer do more than be refused.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { pack } from "../../src/mesh/codec.ts";
import type { Ip } from "../../src/net/ip.ts";
import { decodePathMessage, encodePathMessage, type PathMessage, SLEEVE_NONCE_BYTES } from "../../src/overlay/offer.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const message: fc.Arbitrary<PathMessage> = fc.oneof(
  fc.record({
    type: fc.constant("offer" as const),
    seen: fc.constantFrom("10.1.2.3" as Ip, "2001:db8::7" as Ip),
    mtuBytes: fc.nat(65_535),
    ciphers: fc.array(fc.constantFrom("aes256gcm", "chacha20poly1305", "a later one"), { maxLength: 4 }),
    wireguard: fc.option(fc.record({ publicKey: bytes(32), port: fc.integer({ min: 1, max: 65_535 }) }), { nil: undefined }),
  }),
  fc.record({
    type: fc.constant("sleeve-open" as const),
    index: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    nonce: bytes(SLEEVE_NONCE_BYTES),
    isWanted: fc.boolean(),
  }),
  fc.constantFrom<PathMessage>({ type: "sleeve-idle" }, { type: "wireguard-ready" }),
  fc.record({
    type: fc.constant("state" as const),
    kind: fc.constantFrom("fastdp" as const, "wireguard" as const, "sleeve" as const),
    isUp: fc.boolean(),
  }),
);

test("what is encoded is decoded", () => {
  fc.assert(fc.property(message, (given) => expect(decodePathMessage(encodePathMessage(given))).toEqual(given)));
});

test("any bytes, and any MessagePack, are decoded, skipped or refused", () => {
  const attempt = (given: Uint8Array): void => {
    try {
      decodePathMessage(given);
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(ProtocolError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), attempt), { numRuns: 2_000 });
  const value = fc.oneof(fc.anything({ maxDepth: 2 }), fc.nat(6), fc.uint8Array({ maxLength: 40 }), fc.string());
  const list = fc.array(value, { maxLength: 6 }).map((fields) => {
    try {
      return pack(fields);
    } catch {
      return new Uint8Array(0); // nothing MessagePack can hold
    }
  });
  fc.assert(fc.property(list, attempt), { numRuns: 2_000 });
});

test("kinds and fields of later versions are skipped", () => {
  expect(decodePathMessage(pack([99, "new"]))).toBeUndefined();
  expect(decodePathMessage(pack([5, "quantum", true]))).toBeUndefined();
  expect(decodePathMessage(pack([3, "more"]))).toEqual({ type: "sleeve-idle" });
});
