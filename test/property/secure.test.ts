// SPDX-License-Identifier: Apache-2.0
// Random bytes against everything that reads a peer's bytes before or inside the secure channel: nothing but ProtocolError or a refusal
// comes of them.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { sodiumSealing } from "../../src/host/sealing.ts";
import { FrameReader } from "../../src/mesh/secure/framing.ts";
import type { Handshake } from "../../src/mesh/secure/handshake.ts";
import { decodeHello, encodeHello } from "../../src/mesh/secure/hello.ts";
import { CipherState } from "../../src/mesh/secure/noise.ts";
import { isPlainMessagePack } from "../../src/mesh/secure/plain-messagepack.ts";
import { decodePreamble } from "../../src/mesh/secure/preamble.ts";
import { concat } from "../../src/mesh/secure/sealing.ts";
import { Session } from "../../src/mesh/secure/session.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";
import { endOf, pump } from "../support/handshake.ts";
import { helloOf } from "../support/transport.ts";

const packr = new Packr({ useRecords: false, mapsAsObjects: false, moreTypes: false });
const LIMITS = { depth: 4, values: 256 };
const bytes = fc.uint8Array({ maxLength: 300 });
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.maxSafeInteger(),
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.uint8Array({ maxLength: 80 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string({ maxLength: 8 }), tie("value"), { maxKeys: 4 }),
  ),
})).value;

/** Runs `read`; true when it returned or said ProtocolError. Anything else escapes and fails the test. */
function isTotal(read: () => unknown): boolean {
  try {
    read();
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
  }
  return true;
}

/** An end that has got as far as `flights` honest flights reach, and whose turn it is to read. */
function endAfter(dials: boolean, passwords: readonly string[], flights: number): Handshake {
  const ends = { dialler: endOf(true, { passwords }), listener: endOf(false, { passwords }) };
  pump(ends.dialler, ends.listener, { alter: ({ number, bytes: sent }) => (number < flights ? sent : new Uint8Array(0)) });
  return dials ? ends.dialler : ends.listener;
}

describe("secure channel against random bytes", () => {
  test("decoders of hello and preamble are total", () => {
    fc.assert(
      fc.property(bytes, (random) => isTotal(() => decodeHello(random)) && isTotal(() => decodePreamble(random))),
      { numRuns: 2000 },
    );
  });

  test("a hello with some bytes changed is read or refused", () => {
    const whole = encodeHello(helloOf(3));
    const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const changed = whole.slice();
        for (const { at, byte } of changes) changed[at] = byte;
        return isTotal(() => decodeHello(changed));
      }),
      { numRuns: 3000 },
    );
  });

  test("every plain value passes the check before the library, and what passes can be decoded", () => {
    fc.assert(fc.property(plain, (value) => isPlainMessagePack(packr.pack(value), LIMITS)));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (random) => {
        if (!isPlainMessagePack(random, LIMITS)) return;
        packr.unpack(random);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(plain, fc.nat(), (value, cut) => {
        const packed = Uint8Array.from(packr.pack(value));
        expect(isPlainMessagePack(packed.slice(0, cut % packed.length), LIMITS)).toBe(false);
      }),
    );
  });

  test("frames are the same however the stream is cut", () => {
    const frames = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (bodies, cuts) => {
        const stream = concat(...bodies.map((body) => concat(Uint8Array.of(body.length, 5), body)));
        const reader = new FrameReader(2, (header) => header[0]!);
        const read: string[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length]!;
          reader.push(stream.slice(at, at + size));
          for (let frame = reader.next(); frame; frame = reader.next()) read.push(frame.body.toHex());
          at += size;
        }
        expect(read).toEqual(bodies.map((body) => body.toHex()));
        expect(reader.isBetweenFrames).toBe(true);
      }),
    );
  });

  for (const passwords of [[], ["secret"], ["old", "new"]]) {
    const stages = passwords.length > 0 ? 6 : 4;
    for (let stage = 0; stage < stages; stage++) {
      const dials = stage % 2 === 1; // flight 0 goes to the listener
      test(`${passwords.length} passwords, flight ${stage}: random bytes end it or wait for more, and nobody gets a link`, () => {
        fc.assert(
          fc.property(fc.array(bytes, { minLength: 1, maxLength: 3 }), fc.boolean(), (chunks, framed) => {
            const end = endAfter(dials, passwords, stage);
            for (const chunk of chunks) {
              const kind = chunk[0] ?? 0;
              const step = end.receive(
                framed ? concat(Uint8Array.of(chunk.length >> 8, chunk.length & 255, kind % 5), chunk) : chunk,
              );
              expect(step.state).not.toBe("done");
              if (step.state === "failed") {
                expect(step.reason.length).toBeGreaterThan(0);
                return;
              }
            }
          }),
          { numRuns: 60 },
        );
      });
    }
  }

  test("a session takes random bytes as nothing or as its end, and keeps no more than a frame", () => {
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 5 }), (chunks) => {
        const cipher = () => new CipherState(sodiumSealing, sodiumSealing.random(32));
        const session = new Session({ send: cipher(), receive: cipher() });
        return isTotal(() => {
          for (const chunk of chunks) {
            session.push(chunk);
            expect(session.next()).toBeUndefined();
          }
        });
      }),
      { numRuns: 1000 },
    );
  });
});
