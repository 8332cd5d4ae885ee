// SPDX-License-Identifier: Apache-2.0
// What somebody who does not know the password takes home. The impostor runs the real protocol with one guess, as listener or as dialler,
// keeps everything (its own secrets, every byte of both sides) and then tries offline, for each word of a dictionary with the right one in
// it, every derivation it can do. Against the protocol nothing tells the right word from the others. The same attempt finds it at once
// when the generator's logarithm is known, which is how a password-authenticated exchange is usually spoilt.
import { describe, expect, test } from "bun:test";
import { allocate, loadLibrary } from "../../../../native/ffi.ts";
import { sodiumSealing } from "../../../../src/host/sealing.ts";
import { generatorString, intermediateKey, lengthValues } from "../../../../src/mesh/secure/cpace.ts";
import type { Handshake } from "../../../../src/mesh/secure/handshake.ts";
import { hkdf2, hmac } from "../../../../src/mesh/secure/kdf.ts";
import { HandshakeState, XX_PSK0 } from "../../../../src/mesh/secure/noise.ts";
import { PasswordProof } from "../../../../src/mesh/secure/password-proof.ts";
import { concat, ELEMENT_BYTES, type Sealing, utf8 } from "../../../../src/mesh/secure/sealing.ts";
import { endOf, outcomeOf, pump } from "../../../support/handshake.ts";
import { helloOf } from "../../../support/transport.ts";

const { symbols: sodium } = loadLibrary({
  sonames: ["libsodium.so.26", "libsodium.so.23"],
  packages: { deb: "libsodium23", rpm: "libsodium" },
  symbols: {
    crypto_core_ristretto255_scalar_reduce: { args: ["ptr", "ptr"], returns: "void" },
    crypto_core_ristretto255_scalar_invert: { args: ["ptr", "ptr"], returns: "i32" },
    crypto_scalarmult_ristretto255_base: { args: ["ptr", "ptr"], returns: "i32" },
  },
});

const RIGHT = "correct horse";
const GUESS = "guess";
const DICTIONARY = ["123456", GUESS, "battery staple", RIGHT, "letmein"];
const NOTHING = new Uint8Array(0);
const PREAMBLE_BYTES = 80;
const TAG_BYTES = 16;
/** An ephemeral key and the tag of an empty payload. */
const NOISE_1_BYTES = 48;

/** The hash as a scalar: what would be the generator's logarithm if the generator were that multiple of the base point. */
function logarithm(hash: Uint8Array): Uint8Array {
  const scalar = allocate(32);
  sodium.crypto_core_ristretto255_scalar_reduce(scalar, hash);
  return scalar;
}

/** As real, but for the generator: a known multiple of the base point instead of an element nobody knows the logarithm of. */
const weakSealing: Sealing = {
  ...sodiumSealing,
  element(hash) {
    const element = allocate(32);
    sodium.crypto_scalarmult_ristretto255_base(element, logarithm(hash));
    return element;
  },
};

/** A sealing that remembers the scalars it hands out: the impostor's own. */
function remembering(sealing: Sealing): { sealing: Sealing; scalars: Uint8Array[] } {
  const scalars: Uint8Array[] = [];
  const remember = (scalar: Uint8Array) => {
    scalars.push(scalar.slice());
    return scalar;
  };
  return { sealing: { ...sealing, scalar: () => remember(sealing.scalar()) }, scalars };
}

interface Loot {
  readonly guess: string;
  readonly impostorDials: boolean;
  readonly scalar: Uint8Array;
  readonly dialler: Uint8Array;
  readonly listener: Uint8Array;
  readonly ourShare: Uint8Array;
  readonly theirShare: Uint8Array;
  /** Every string of 16 bytes the victim sent that could be a tag. */
  readonly tags: readonly Uint8Array[];
  /** Every string of bytes the victim sent that could be the first Noise message. */
  readonly noise: readonly Uint8Array[];
}

/** Runs impostor against victim and returns what the impostor holds, and how it ended for both. */
function steal(impostorDials: boolean, real: Sealing, guess: string): { loot: Loot; outcome: string[] } {
  const { sealing, scalars } = remembering(real);
  const make = (dials: boolean, impostor: boolean): Handshake =>
    endOf(dials, { passwords: [impostor ? guess : RIGHT], sealing: impostor ? sealing : real });
  const result = pump(make(true, impostorDials), make(false, !impostorDials));
  const from = (dialler: boolean) => concat(...result.flights.filter((f) => f.fromDialler === dialler).map((f) => f.bytes));
  const [dialler, listener] = [from(true), from(false)];
  const listenerShare = listener.slice(PREAMBLE_BYTES + 3, PREAMBLE_BYTES + 3 + ELEMENT_BYTES);
  const diallerShare = dialler.slice(PREAMBLE_BYTES + 3, PREAMBLE_BYTES + 3 + ELEMENT_BYTES);
  const victim = impostorDials ? listener : dialler;
  const tags: Uint8Array[] = [];
  for (let at = 0; at + TAG_BYTES <= victim.length; at++) tags.push(victim.slice(at, at + TAG_BYTES));
  const noise: Uint8Array[] = [];
  for (let at = 0; at + NOISE_1_BYTES <= victim.length; at++) noise.push(victim.slice(at, at + NOISE_1_BYTES));
  const loot: Loot = {
    guess,
    impostorDials,
    scalar: scalars[0]!,
    dialler: dialler.slice(0, PREAMBLE_BYTES),
    listener: listener.slice(0, PREAMBLE_BYTES),
    ourShare: impostorDials ? diallerShare : listenerShare,
    theirShare: impostorDials ? listenerShare : diallerShare,
    tags,
    noise,
  };
  return { loot, outcome: [outcomeOf(result.dialler), outcomeOf(result.listener)] };
}

/** A listener as it must not be: it shows its proof before the dialler has shown one. The impostor dials. */
function stealFromEagerListener(real: Sealing, guess: string): Loot {
  const { sealing, scalars } = remembering(real);
  const [dialler, listener] = [sodiumSealing.random(PREAMBLE_BYTES), sodiumSealing.random(PREAMBLE_BYTES)];
  const [diallerName, listenerName] = [helloOf(1).name, helloOf(2).name].map((name) => utf8(name.toString(16)));
  const common = {
    remotePasswords: 1,
    sessionId: sodiumSealing.blake2b(concat(utf8("weave session"), dialler, listener)),
    dialler: diallerName!,
    listener: listenerName!,
  };
  const impostor = new PasswordProof(sealing, { ...common, dials: true, passwords: [utf8(guess)] });
  const victim = new PasswordProof(real, { ...common, dials: false, passwords: [utf8(RIGHT)] });
  const [ourShare, theirShare] = [impostor.shares, victim.shares];
  const [pair] = victim.finish(ourShare, concat(dialler, listener, Uint8Array.of(0, ELEMENT_BYTES, 1), theirShare, ourShare))!;
  return {
    guess,
    impostorDials: true,
    scalar: scalars[0]!,
    dialler,
    listener,
    ourShare,
    theirShare,
    tags: [pair!.tag],
    noise: [],
  };
}

/** The words of the dictionary that fit the loot. */
function fitting(loot: Loot): string[] {
  return DICTIONARY.filter((word) => fits(loot, word));
}

function fits(loot: Loot, word: string): boolean {
  const sessionId = sodiumSealing.blake2b(concat(utf8("weave session"), loot.dialler, loot.listener));
  const names = [helloOf(1).name, helloOf(2).name].map((name) => utf8(name.toString(16)));
  const channel = lengthValues(utf8("weave control connection"), ...names, Uint8Array.of(0, 0));
  const context = { channel, sessionId };
  const wordLog = logarithm(sodiumSealing.sha512(generatorString(utf8(word), context)));
  const guessLog = logarithm(sodiumSealing.sha512(generatorString(utf8(loot.guess), context)));
  // The shared point under the hypothesis that the victim's share is y * G(word): by our scalar, by it over the hypothetical logarithm,
  // and by it times the guess's logarithm over the word's, which is right when all generators are known multiples of one point.
  for (const factors of [[loot.scalar], [loot.scalar, inverse(wordLog)], [loot.scalar, guessLog, inverse(wordLog)]]) {
    const [last, ...others] = factors;
    const base = others.reduce<Uint8Array | undefined>(
      (point, factor) => point && sodiumSealing.multiply(factor, point),
      loot.theirShare,
    );
    if (base && matches(loot, last!, base, sessionId)) return word === loot.guess || factors.length > 1;
  }
  return false;
}

/** Whether anything the victim sent is what follows from this scalar and point. */
function matches(loot: Loot, scalar: Uint8Array, point: Uint8Array, sessionId: Uint8Array): boolean {
  const [diallerShare, listenerShare] = loot.impostorDials ? [loot.ourShare, loot.theirShare] : [loot.theirShare, loot.ourShare];
  const shares = { initiator: diallerShare, responder: listenerShare, initiatorData: NOTHING, responderData: NOTHING };
  const key = intermediateKey(sodiumSealing, scalar.slice(), point, shares, sessionId);
  if (!key) return false;
  const sharesFrame = concat(Uint8Array.of(0, ELEMENT_BYTES, 1), listenerShare);
  const transcript = concat(loot.dialler, loot.listener, sharesFrame, diallerShare);
  const [proofKey, psk] = hkdf2(sodiumSealing, sodiumSealing.blake2b(transcript), key);
  const tag = hmac(sodiumSealing, proofKey, utf8("weave: the dialler knows the password")).slice(0, TAG_BYTES);
  if (loot.tags.some((candidate) => sodiumSealing.equal(candidate, tag))) return true;
  const proof = concat(Uint8Array.of(0, ELEMENT_BYTES + TAG_BYTES, 2), diallerShare, tag);
  const prologue = concat(
    utf8("weave control connection, protocol 3"),
    transcript.slice(0, -ELEMENT_BYTES),
    proof,
    Uint8Array.of(0),
  );
  return loot.noise.some((message) => {
    const reader = new HandshakeState(sodiumSealing, {
      pattern: XX_PSK0,
      initiator: false,
      prologue,
      staticKey: sodiumSealing.keyPair(),
      presharedKeys: [psk.slice(0, 32)],
    });
    return reader.read(message) !== undefined;
  });
}

function inverse(scalar: Uint8Array): Uint8Array {
  const inverted = allocate(32);
  sodium.crypto_core_ristretto255_scalar_invert(inverted, scalar);
  return inverted;
}

describe("an impostor", () => {
  test("as listener finds nothing in its transcript that tells the password", () => {
    const { loot, outcome } = steal(false, sodiumSealing, GUESS);
    expect(outcome).toEqual(["wrong password: the peer refused ours", "wrong password: the peer knows none of ours"]);
    expect(fitting(loot)).toEqual([]);
  });

  test("as dialler finds nothing in its transcript that tells the password", () => {
    const { loot, outcome } = steal(true, sodiumSealing, GUESS);
    expect(outcome).toEqual(["wrong password: the peer refused ours", "wrong password: the peer knows none of ours"]);
    expect(loot.theirShare.length).toBe(ELEMENT_BYTES);
    expect(fitting(loot)).toEqual([]);
  });

  test("as listener would find it with the same attempt if generators had known logarithms", () => {
    const { loot, outcome } = steal(false, weakSealing, GUESS);
    expect(outcome).toEqual(["wrong password: the peer refused ours", "wrong password: the peer knows none of ours"]);
    expect(fitting(loot)).toEqual([RIGHT]);
  });

  test("as dialler would find it if, besides, the listener proved itself first", () => {
    expect(fitting(stealFromEagerListener(weakSealing, GUESS))).toEqual([RIGHT]);
    expect(fitting(stealFromEagerListener(sodiumSealing, GUESS))).toEqual([]);
  });

  test("would be found out by this attempt if it had guessed right: the attempt does what the protocol does", () => {
    expect(fitting(steal(false, sodiumSealing, RIGHT).loot)).toEqual([RIGHT]);
    expect(fitting(steal(true, sodiumSealing, RIGHT).loot)).toEqual([RIGHT]);
  });

  test("learns whether its guess was right, and that is all one connection gives", () => {
    for (const word of DICTIONARY) {
      const { outcome } = steal(true, sodiumSealing, word);
      expect(outcome[0] === "done").toBe(word === RIGHT);
    }
  });

  test("sends bytes no password explains better than another: shares are fresh elements, of one length for all passwords", () => {
    const shares = new Set<string>();
    for (let run = 0; run < 50; run++) {
      for (const passwords of [["a"], ["a much longer password, of more than one block of the hash".repeat(4)]]) {
        const { flights } = pump(endOf(true, { passwords }), endOf(false, { passwords }));
        shares.add(flights[1]!.bytes.slice(PREAMBLE_BYTES + 3).toHex());
        expect(flights.map(({ bytes }) => bytes.length).slice(0, 3)).toEqual([
          PREAMBLE_BYTES,
          PREAMBLE_BYTES + 3 + 32,
          3 + 32 + 16,
        ]);
      }
    }
    expect(shares.size).toBe(100);
  });
});
