// SPDX-License-Identifier: Apache-2.0
// The handshake of two ends, bytes in, bytes out.
import { describe, expect, test } from "bun:test";
import { sodiumSealing } from "../../../../src/host/sealing.ts";
import { busyReply } from "../../../../src/mesh/secure/handshake-frame.ts";
import { concat, type Sealing, utf8 } from "../../../../src/mesh/secure/sealing.ts";
import { endOf, outcomeOf, pump } from "../../../support/handshake.ts";
import { helloOf } from "../../../support/transport.ts";

const outcomes = ({ dialler, listener }: ReturnType<typeof pump>) => [outcomeOf(dialler), outcomeOf(listener)];
const WRONG_HERE = "wrong password: the peer knows none of ours";
const WRONG_THERE = "wrong password: the peer refused ours";

describe("handshake", () => {
  for (const passwords of [[], ["secret"]]) {
    const how = passwords.length > 0 ? "with a password" : "without a password";
    test(`${how} both ends learn hello and key, and can talk`, () => {
      const [identity, other] = [sodiumSealing.keyPair(), sodiumSealing.keyPair()];
      const { dialler, listener } = pump(endOf(true, { passwords, identity }), endOf(false, { passwords, identity: other }));
      if (dialler?.state !== "done" || listener?.state !== "done")
        throw new Error(outcomes({ dialler, listener, flights: [] }).join());
      expect(dialler.hello).toEqual({ ...helloOf(2), publicKey: other.publicKey });
      expect(listener.hello).toEqual({ ...helloOf(1), publicKey: identity.publicKey });
      expect([dialler.passwordUsed, listener.passwordUsed]).toEqual([passwords.length > 0, passwords.length > 0]);
      listener.session.push(dialler.session.message(utf8("hello")));
      expect(listener.session.next()).toEqual({ type: "message", bytes: utf8("hello") as never });
      dialler.session.push(listener.session.message(utf8("you")));
      expect(dialler.session.next()).toEqual({ type: "message", bytes: utf8("you") as never });
    });

    test(`${how} it does not matter how the bytes are cut`, () => {
      for (const pieceBytes of [1, 2, 7, 80, 1000]) {
        expect(outcomes(pump(endOf(true, { passwords }), endOf(false, { passwords }), { pieceBytes }))).toEqual(["done", "done"]);
      }
    });

    test(`${how} a changed bit anywhere leaves nobody with a link to the other`, () => {
      const flights = pump(endOf(true, { passwords }), endOf(false, { passwords })).flights;
      const last = flights.length - 1;
      for (const { number, bytes } of flights) {
        for (let at = 0; at < bytes.length; at++) {
          const alter = (flight: (typeof flights)[number]) => {
            const changed = flight.bytes.slice();
            if (flight.number === number) changed[at]! ^= 1 << (at % 8);
            return changed;
          };
          const result = pump(endOf(true, { passwords }), endOf(false, { passwords }), { alter });
          // Whoever sends the last message cannot know yet whether it arrives; its session then receives nothing.
          expect(result.dialler?.state === "done").toBe(false);
          if (number < last) expect(result.listener?.state === "done").toBe(false);
        }
      }
    });

    test(`${how} bytes of an earlier connection are worth nothing in a later one`, () => {
      const first = pump(endOf(true, { passwords }), endOf(false, { passwords })).flights;
      const replayed = pump(endOf(true, { passwords }), endOf(false, { passwords }), {
        alter: (flight) => (flight.fromDialler ? first[flight.number]!.bytes : flight.bytes),
      });
      expect(replayed.listener?.state).not.toBe("done");
      const replayedListener = pump(endOf(true, { passwords }), endOf(false, { passwords }), {
        alter: (flight) => (flight.fromDialler ? flight.bytes : first[flight.number]!.bytes),
      });
      expect(replayedListener.dialler?.state).not.toBe("done");
    });

    test(`${how} our own bytes sent back are refused`, () => {
      const end = endOf(true, { passwords });
      const step = end.receive(end.start());
      expect(step).toMatchObject({ state: "failed", reason: "the other end sends our own bytes back" });
    });
  }

  test("any password in common is enough, on whatever side and place it is held", () => {
    const lists = [["a"], ["b"], ["a", "b"], ["b", "a"], ["c", "a"], ["d", "e", "f", "a"], ["b", "c", "d", "e"]];
    for (const ours of lists) {
      for (const theirs of lists) {
        const expected = ours.some((password) => theirs.includes(password)) ? ["done", "done"] : [WRONG_THERE, WRONG_HERE];
        expect(outcomes(pump(endOf(true, { passwords: ours }), endOf(false, { passwords: theirs })))).toEqual(expected);
      }
    }
  });

  test("passwords on one end only are refused with the reason on both", () => {
    const has = "password specified, but peer requested an unencrypted connection";
    const lacks = "no password specified, but peer requested an encrypted connection";
    expect(outcomes(pump(endOf(true, { passwords: ["a"] }), endOf(false)))).toEqual([has, lacks]);
    expect(outcomes(pump(endOf(true), endOf(false, { passwords: ["a"] })))).toEqual([lacks, has]);
  });

  test("an impostor who guessed wrong is told so on both ends, whichever it is", () => {
    expect(outcomes(pump(endOf(true, { passwords: ["guess"] }), endOf(false, { passwords: ["secret"] })))).toEqual([
      WRONG_THERE,
      WRONG_HERE,
    ]);
    // A listener that pretends the proof was right fails at its first Noise message: it lacks the key.
    const dialler = endOf(true, { passwords: ["secret"] });
    const listener = endOf(false, {
      passwords: ["guess"],
      sealing: { ...sodiumSealing, equal: (a, b) => a.length === 16 || sodiumSealing.equal(a, b) },
    });
    expect(outcomes(pump(dialler, listener))).toEqual([WRONG_HERE, WRONG_THERE]);
  });

  test("versions must overlap; both ends name both ranges", () => {
    const [old, now, wide] = [
      { min: 3, max: 3 },
      { min: 4, max: 5 },
      { min: 2, max: 9 },
    ];
    const both = (ours: typeof old, theirs: typeof old) =>
      pump(endOf(true, { versions: ours }), endOf(false, { versions: theirs }));
    expect(outcomes(both(old, now))).toEqual([
      "remote version range [4,5] is incompatible with ours [3,3]",
      "remote version range [3,3] is incompatible with ours [4,5]",
    ]);
    expect(outcomes(both(old, wide))).toEqual(["done", "done"]);
    expect(outcomes(both(wide, now))).toEqual(["done", "done"]);
  });

  test("Weave Net's first seven bytes are understood", () => {
    const step = endOf(false).receive(concat(utf8("weave"), Uint8Array.of(1, 2)));
    expect(step).toMatchObject({
      state: "failed",
      reason: "remote version range [1,2] is incompatible with ours [3,3]",
      send: concat(utf8("weave"), Uint8Array.of(3, 3)),
    });
  });

  test("a listener says nothing to those who do not speak weave", () => {
    for (const words of ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x01\x02\x00\x01\x00"]) {
      const step = endOf(false).receive(utf8(words));
      expect(step).toMatchObject({ state: "failed", reason: "the other end does not speak weave" });
      expect(step.send.length).toBe(0);
    }
  });

  test("a listener without room says so", () => {
    const dialler = endOf(true);
    dialler.start();
    expect(dialler.receive(busyReply())).toMatchObject({
      state: "failed",
      reason: "the peer has too many connections in their handshake",
    });
  });

  test("the name in the hello must be the announced one", () => {
    const identity = sodiumSealing.keyPair();
    const hello = { ...helloOf(1) };
    const dialler = endOf(true, { identity, hello });
    hello.name = helloOf(7).name;
    expect(outcomes(pump(dialler, endOf(false)))).toEqual([
      "the peer could not read our side of the handshake",
      "the peer's name differs from the one it announced",
    ]);
  });

  test("shares that are no group elements end the handshake", () => {
    for (const bad of ["00".repeat(32), "ff".repeat(32)]) {
      const dialler = endOf(true, { passwords: ["a"] });
      const result = pump(dialler, endOf(false, { passwords: ["a"] }), {
        alter: ({ number, bytes }) => (number === 1 ? concat(bytes.slice(0, -32), Uint8Array.fromHex(bad)) : bytes),
      });
      expect(outcomes(result)).toEqual(["a share is no group element", "the peer could not read our side of the handshake"]);
    }
  });

  test("no secret is left when it is over, however it ends", () => {
    const endings = [
      [["a"], ["a"]],
      [
        ["a", "b"],
        ["c", "b"],
      ],
      [["a"], ["b"]],
      [[], []],
      [["a"], []],
    ] as const;
    for (const [ours, theirs] of endings) {
      const [near, far] = [watched(), watched()];
      pump(endOf(true, { passwords: ours, sealing: near.sealing }), endOf(false, { passwords: theirs, sealing: far.sealing }));
      for (const { secrets } of [near, far]) {
        secrets.shift(); // the identity, which stays
        expect(secrets.length).toBeGreaterThan(0);
        expect(secrets.filter((secret) => secret.some((byte) => byte !== 0))).toEqual([]);
      }
    }
  });

  test("a handshake that is given up leaves no secret", () => {
    const near = watched();
    const dialler = endOf(true, { passwords: ["a"], sealing: near.sealing });
    const listener = endOf(false, { passwords: ["a"] });
    dialler.receive(listener.receive(dialler.start()).send);
    dialler.wipe();
    near.secrets.shift();
    expect(near.secrets.filter((secret) => secret.some((byte) => byte !== 0))).toEqual([]);
  });
});

/** Keeps every secret the primitives hand out. */
function watched(): { sealing: Sealing; secrets: Uint8Array[] } {
  const secrets: Uint8Array[] = [];
  const keep = <Secret extends Uint8Array | undefined>(secret: Secret): Secret => {
    if (secret) secrets.push(secret);
    return secret;
  };
  const sealing: Sealing = {
    ...sodiumSealing,
    keyPair() {
      const pair = sodiumSealing.keyPair();
      keep(pair.secretKey);
      return pair;
    },
    scalar: () => keep(sodiumSealing.scalar()),
    sharedSecret: (secretKey, publicKey) => keep(sodiumSealing.sharedSecret(secretKey, publicKey)),
    sha512: (message) => keep(sodiumSealing.sha512(message)),
  };
  return { sealing, secrets };
}
