// SPDX-License-Identifier: Apache-2.0
// CPace against the vectors of its draft.
import { describe, expect, test } from "bun:test";
import { sodiumSealing } from "../../../../src/host/sealing.ts";
import { generator, generatorString, intermediateKey, prependLength, startCpace } from "../../../../src/mesh/secure/cpace.ts";
import fixture from "../../../fixtures/cpace/ristretto255-sha512.json";

const hex = (text: string) => Uint8Array.fromHex(text);
const context = { channel: hex(fixture.CI), sessionId: hex(fixture.sid) };
const shares = {
  initiator: hex(fixture.Ya),
  responder: hex(fixture.Yb),
  initiatorData: hex(fixture.ADa),
  responderData: hex(fixture.ADb),
};

describe("cpace", () => {
  test("the generator is the published one", () => {
    expect(generatorString(hex(fixture.PRS), context).toHex()).toBe(fixture.generator_string);
    expect(generator(sodiumSealing, hex(fixture.PRS), context).toHex()).toBe(fixture.g);
  });

  test("shares and keys are the published ones on both ends", () => {
    const password = hex(fixture.PRS);
    const a = startCpace(sodiumSealing, password, context, hex(fixture.ya))!;
    const b = startCpace(sodiumSealing, password, context, hex(fixture.yb))!;
    expect([a.share.toHex(), b.share.toHex()]).toEqual([fixture.Ya, fixture.Yb]);
    expect(sodiumSealing.multiply(a.scalar, b.share)?.toHex()).toBe(fixture.K);
    const keyOfA = intermediateKey(sodiumSealing, a.scalar, b.share, shares, context.sessionId);
    const keyOfB = intermediateKey(sodiumSealing, b.scalar, a.share, shares, context.sessionId);
    expect([keyOfA?.toHex(), keyOfB?.toHex()]).toEqual([fixture.ISK_IR, fixture.ISK_IR]);
    expect(a.scalar.every((byte) => byte === 0)).toBe(true);
  });

  test("scalar multiplication is the published one, and invalid shares end the run", () => {
    const scalar = hex(fixture.valid.s);
    expect(sodiumSealing.multiply(scalar, hex(fixture.valid.X))?.toHex()).toBe(fixture.valid.product);
    for (const invalid of fixture.invalid) {
      expect(sodiumSealing.multiply(scalar, hex(invalid))).toBeUndefined();
      expect(intermediateKey(sodiumSealing, hex(fixture.ya), hex(invalid), shares, context.sessionId)).toBeUndefined();
    }
    expect(sodiumSealing.multiply(scalar, new Uint8Array(31))).toBeUndefined();
  });

  test("another password, channel or session gives another key", () => {
    const key = (password: string, channel: string, sessionId: string): string => {
      const own = { channel: hex(channel), sessionId: hex(sessionId) };
      const a = startCpace(sodiumSealing, hex(password), own, hex(fixture.ya))!;
      const b = startCpace(sodiumSealing, hex(fixture.PRS), context, hex(fixture.yb))!;
      const both = { ...shares, initiator: a.share, responder: b.share };
      return intermediateKey(sodiumSealing, a.scalar, b.share, both, own.sessionId)!.toHex();
    };
    const { PRS, CI, sid } = fixture;
    expect(new Set([key(PRS, CI, sid), key("00", CI, sid), key(PRS, "00", sid), key(PRS, CI, "00")]).size).toBe(4);
  });

  test("lengths are written as LEB128", () => {
    expect(prependLength(new Uint8Array(0)).toHex()).toBe("00");
    expect(prependLength(new Uint8Array(127)).subarray(0, 2).toHex()).toBe("7f00");
    expect(prependLength(new Uint8Array(128)).subarray(0, 3).toHex()).toBe("800100");
  });
});
