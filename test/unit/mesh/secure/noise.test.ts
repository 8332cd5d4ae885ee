// SPDX-License-Identifier: Apache-2.0
// Noise against the published vectors; their origin stands in the fixture.
import { describe, expect, test } from "bun:test";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { publicKeyOf } from "../../../../native/libsodium/x25519.ts";
import { sodiumSealing } from "../../../../src/host/sealing.ts";
import { CipherState, HandshakeState, type NoisePattern, XX, XX_PSK0 } from "../../../../src/mesh/secure/noise.ts";
import { concat, type KeyPair, type Sealing } from "../../../../src/mesh/secure/sealing.ts";
import fixture from "../../../fixtures/noise/vectors.json";

const PATTERNS: Record<string, NoisePattern> = {
  XX,
  XXpsk0: XX_PSK0,
  XXpsk3: { name: "XXpsk3", messages: [["e"], ["e", "ee", "s", "es"], ["s", "se", "psk"]] },
  "IXpsk0+psk2": {
    name: "IXpsk0+psk2",
    messages: [
      ["psk", "e", "s"],
      ["e", "ee", "se", "s", "es", "psk"],
    ],
  },
};

/** AES-GCM counts its nonce big-endian, so the 8 bytes are turned around. */
const aesSealing: Sealing = {
  ...sodiumSealing,
  seal(key, nonce, associated, plaintext, headroom) {
    const cipher = createCipheriv("aes-256-gcm", key, turned(nonce)).setAAD(associated);
    return concat(new Uint8Array(headroom), cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
  },
  open(key, nonce, associated, sealed) {
    const decipher = createDecipheriv("aes-256-gcm", key, turned(nonce)).setAAD(associated);
    decipher.setAuthTag(sealed.slice(-16));
    const head = decipher.update(sealed.slice(0, -16));
    try {
      return concat(head, decipher.final());
    } catch {
      return undefined; // node:crypto's way of saying that the tag is wrong
    }
  },
};

function turned(nonce: Uint8Array): Uint8Array {
  return concat(nonce.slice(0, 4), nonce.slice(4).reverse());
}

function keyPair(secret: string): KeyPair {
  const secretKey = Uint8Array.fromHex(secret);
  return { secretKey, publicKey: publicKeyOf(secretKey) };
}

function ends(vector: (typeof fixture.vectors)[number]): {
  sealing: Sealing;
  initiator: HandshakeState;
  responder: HandshakeState;
} {
  const [, patternName = "", ...suite] = vector.protocol_name.split("_");
  const pattern = PATTERNS[patternName];
  if (!pattern) throw new Error(`no pattern ${patternName}`);
  const sealing = suite[1] === "AESGCM" ? aesSealing : sodiumSealing;
  const make = (initiator: boolean, staticKey: string, ephemeral: string) =>
    new HandshakeState(sealing, {
      pattern,
      initiator,
      suite: suite.join("_"),
      prologue: Uint8Array.fromHex(vector.prologue),
      staticKey: keyPair(staticKey),
      ephemeralKey: keyPair(ephemeral),
      presharedKeys: vector.psks.map((psk) => Uint8Array.fromHex(psk)),
    });
  return {
    sealing,
    initiator: make(true, vector.init_static, vector.init_ephemeral),
    responder: make(false, vector.resp_static, vector.resp_ephemeral),
  };
}

describe("noise", () => {
  for (const vector of fixture.vectors) {
    test(`${vector.protocol_name} gives the published bytes`, () => {
      const { initiator, responder } = ends(vector);
      const messages = vector.messages.map(([payload = "", sealed = ""]) => ({ payload, sealed }));
      let fromInitiator = true;
      while (!initiator.isComplete) {
        const { payload, sealed } = messages.shift()!;
        const [writer, reader] = fromInitiator ? [initiator, responder] : [responder, initiator];
        expect(writer.write(Uint8Array.fromHex(payload))?.toHex()).toBe(sealed);
        expect(reader.read(Uint8Array.fromHex(sealed))?.toHex()).toBe(payload);
        fromInitiator = !fromInitiator;
      }
      expect(responder.isComplete).toBe(true);
      expect(initiator.handshakeHash.toHex()).toBe(responder.handshakeHash.toHex());
      expect(initiator.remoteStatic?.toHex()).toBe(keyPair(vector.resp_static).publicKey.toHex());
      expect(responder.remoteStatic?.toHex()).toBe(keyPair(vector.init_static).publicKey.toHex());
      const transport = { initiator: initiator.split(), responder: responder.split() };
      if ("transport_begins" in vector) fromInitiator = true;
      const nothing = new Uint8Array(0);
      for (const { payload, sealed } of messages) {
        const [from, to] = fromInitiator
          ? [transport.initiator, transport.responder]
          : [transport.responder, transport.initiator];
        expect(from.send.encrypt(nothing, Uint8Array.fromHex(payload)).toHex()).toBe(sealed);
        expect(to.receive.decrypt(nothing, Uint8Array.fromHex(sealed))?.toHex()).toBe(payload);
        fromInitiator = !fromInitiator;
      }
    });
  }

  test("a rekeyed cipher goes on with its counter and cannot open what the old key sealed", () => {
    const key = sodiumSealing.random(32);
    const make = () => new CipherState(sodiumSealing, key.slice());
    const [sender, receiver, stale] = [make(), make(), make()];
    const words = new TextEncoder().encode("hello");
    const first = sender.encrypt(words, words);
    expect(receiver.decrypt(words, first)).toEqual(words);
    expect(stale.decrypt(words, first)).toEqual(words);
    sender.rekey();
    receiver.rekey();
    const second = sender.encrypt(words, words);
    expect(stale.decrypt(words, second)).toBeUndefined();
    expect(receiver.decrypt(words, second)).toEqual(words);
  });

  test("a key of low order ends the handshake", () => {
    const options = { pattern: XX, prologue: new Uint8Array(0) };
    const responder = new HandshakeState(sodiumSealing, { ...options, initiator: false, staticKey: sodiumSealing.keyPair() });
    for (const low of ["00", "01", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"]) {
      const point = Uint8Array.fromHex(low.padEnd(64, "0"));
      const again = new HandshakeState(sodiumSealing, { ...options, initiator: false, staticKey: sodiumSealing.keyPair() });
      expect(again.read(point)).toBeDefined();
      expect(again.write(new Uint8Array(0))).toBeUndefined();
    }
    expect(responder.read(new Uint8Array(31))).toBeUndefined();
  });

  test("secrets are zero when the handshake is over", () => {
    const ephemeralKey = sodiumSealing.keyPair();
    const psk = sodiumSealing.random(32);
    const staticKey = sodiumSealing.keyPair();
    const common = { pattern: XX_PSK0, prologue: new Uint8Array(0) };
    const initiator = new HandshakeState(sodiumSealing, {
      ...common,
      initiator: true,
      staticKey,
      ephemeralKey,
      presharedKeys: [psk],
    });
    initiator.write(new Uint8Array(0));
    expect(psk.every((byte) => byte === 0)).toBe(true);
    initiator.wipe();
    expect(ephemeralKey.secretKey.every((byte) => byte === 0)).toBe(true);
  });
});
