// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { type AdmissionFacts, type Claimant, decideAdmission, isFinalReason } from "../../../src/mesh/admission.ts";
import { prefersLink } from "../../../src/mesh/duplicate.ts";
import { deadEnd, hello, keyOf, peer, uidOf } from "./builders.ts";

function claimant(name: number, facts: Partial<Claimant> = {}): Claimant {
  return {
    name: peer(name),
    nickname: `host${name}`,
    uid: uidOf(name),
    key: keyOf(name),
    address: `10.0.0.${name}:6783`,
    ...facts,
  };
}

function decide(facts: Partial<AdmissionFacts>) {
  return decideAdmission({
    self: claimant(1),
    newcomer: claimant(2),
    isRevoked: false,
    session: undefined,
    elsewhere: undefined,
    verified: false,
    limitReached: undefined,
    ...facts,
  });
}
const session = (name: number, facts: Partial<NonNullable<AdmissionFacts["session"]>> = {}) => ({
  ...claimant(name),
  controlUp: true,
  sameHost: false,
  newWins: false,
  ...facts,
});

describe("a connection whose handshake has finished", () => {
  test("from a peer we do not know is taken", () => {
    expect(decide({}).verdict).toBe("take");
  });
  test("with ourselves is seen", () => {
    expect(decide({ newcomer: claimant(1) }).verdict).toBe("self");
  });
  test("of our own name is a collision or a clone, until one of both is mended", () => {
    for (const facts of [{ uid: uidOf(9), key: keyOf(9) }, { uid: uidOf(9) }]) {
      const admission = decide({ newcomer: claimant(1, { ...facts, address: "10.0.0.9:1" }) });
      expect(admission).toMatchObject({ verdict: "refuse", isFinal: false });
      expect("reason" in admission && admission.reason).toContain("10.0.0.9:1");
      expect("reason" in admission && isFinalReason(admission.reason)).toBe(false);
    }
  });
  test("with a revoked key is refused for good", () => {
    expect(decide({ isRevoked: true })).toMatchObject({ verdict: "refuse", isFinal: true });
  });
  test("beyond the limit is refused, for now", () => {
    expect(decide({ limitReached: 5 })).toMatchObject({
      verdict: "refuse",
      reason: "Connection limit reached (5)",
      isFinal: false,
    });
  });
  test("of a neighbour whose own is gone replaces it", () => {
    expect(decide({ session: session(2, { controlUp: false }) }).verdict).toBe("take");
    expect(decide({ session: session(2, { controlUp: false, uid: uidOf(8) }) }).verdict).toBe("take");
  });
  test("besides a neighbour's own is decided by the duplicate rule, and the older one asked before the newer is dropped", () => {
    expect(decide({ session: session(2, { newWins: true }) }).verdict).toBe("take");
    expect(decide({ session: session(2) })).toMatchObject({ verdict: "ask", suspicion: "duplicate" });
  });
  test("from another process of a neighbour waits until the old one has not answered", () => {
    expect(decide({ session: session(2, { uid: uidOf(8) }) })).toMatchObject({ verdict: "ask", suspicion: "conflict" });
    expect(decide({ session: session(2, { uid: uidOf(8), sameHost: true }) })).toMatchObject({ suspicion: "leftover" });
    expect(decide({ session: session(2, { uid: uidOf(8) }), verified: true }).verdict).toBe("take");
  });
  test("with another key under a known name waits, or is refused while the other's daemon is only away", () => {
    expect(decide({ session: session(2, { key: keyOf(8), uid: uidOf(8) }) }).verdict).toBe("ask");
    const away = session(2, { key: keyOf(8), uid: uidOf(8), controlUp: false });
    expect(decide({ session: away })).toMatchObject({ verdict: "refuse", isFinal: false });
    expect(decide({ session: { ...away, sameHost: true } }).verdict).toBe("take");
  });
  test("of a name that lives elsewhere in the mesh waits until that one has not answered", () => {
    const elsewhere = claimant(2, { uid: uidOf(8), address: "10.0.0.8:6783" });
    expect(decide({ elsewhere })).toMatchObject({ verdict: "ask", suspicion: "conflict" });
    expect(decide({ elsewhere, verified: true }).verdict).toBe("take");
    expect(decide({ elsewhere: claimant(2) }).verdict).toBe("take");
  });
});

describe("the duplicate rule", () => {
  test("gives both ends the same winner", () => {
    for (const [a, b, c, d] of [
      [1, 2, 3, 4],
      [9, 1, 2, 8],
      [5, 5, 5, 5],
      [7, 3, 3, 7],
      [4_294_967_295, 0, 1, 1],
    ] as const) {
      const mine = deadEnd({ hello: hello(2, { nonce: b }), sentHello: hello(1, { nonce: a }), outbound: true });
      const theirs = deadEnd({ hello: hello(2, { nonce: d }), sentHello: hello(1, { nonce: c }), outbound: false });
      const mineSeenThere = deadEnd({ hello: hello(1, { nonce: a }), sentHello: hello(2, { nonce: b }), outbound: false });
      const theirsSeenThere = deadEnd({ hello: hello(1, { nonce: c }), sentHello: hello(2, { nonce: d }), outbound: true });
      expect(prefersLink(mine, theirs)).toBe(prefersLink(mineSeenThere, theirsSeenThere));
      expect(prefersLink(theirs, mine)).toBe(prefersLink(theirsSeenThere, mineSeenThere));
    }
  });
});
