// SPDX-License-Identifier: Apache-2.0
// Sealed frames after the handshake.
import { describe, expect, test } from "bun:test";
import { sodiumSealing } from "../../../../src/host/sealing.ts";
import { CipherState } from "../../../../src/mesh/secure/noise.ts";
import { concat, utf8 } from "../../../../src/mesh/secure/sealing.ts";
import {
  MESSAGE_BYTES_MAX,
  REKEY_MESSAGES,
  REKEY_MS,
  SESSION_HEADER_BYTES,
  Session,
} from "../../../../src/mesh/secure/session.ts";
import { ProtocolError } from "../../../../src/runtime/errors.ts";

function sessions(rekeyMessages?: number): [Session, Session] {
  const [one, two] = [sodiumSealing.random(32), sodiumSealing.random(32)];
  const cipher = (key: Uint8Array) => new CipherState(sodiumSealing, key.slice());
  return [
    new Session({ send: cipher(one), receive: cipher(two) }, rekeyMessages),
    new Session({ send: cipher(two), receive: cipher(one) }, rekeyMessages),
  ];
}

function received(session: Session, bytes: Uint8Array): string[] {
  session.push(bytes);
  const events: string[] = [];
  for (let event = session.next(); event; event = session.next()) {
    events.push(
      event.type === "message" ? new TextDecoder().decode(event.bytes) : event.type === "refused" ? `!${event.reason}` : "closed",
    );
  }
  return events;
}

const KIND_REKEY = 1;

describe("session", () => {
  test("messages arrive whole and in order, however they are cut", () => {
    for (const pieceBytes of [1, 3, 100]) {
      const [near, far] = sessions();
      const stream = concat(
        near.message(utf8("one")),
        near.message(new Uint8Array(0)),
        near.message(utf8("three")),
        near.close(),
      );
      const events: string[] = [];
      for (let at = 0; at < stream.length; at += pieceBytes) events.push(...received(far, stream.slice(at, at + pieceBytes)));
      expect(events).toEqual(["one", "", "three", "closed"]);
    }
  });

  test("the longest message passes, a longer one is refused by the sender and by the receiver", () => {
    const [near, far] = sessions();
    far.push(near.message(new Uint8Array(MESSAGE_BYTES_MAX)));
    expect(far.next()).toMatchObject({ type: "message" });
    expect(() => near.message(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(RangeError);
  });

  test("a huge length is refused before anything is allocated for it", () => {
    const [, far] = sessions();
    for (const length of [MESSAGE_BYTES_MAX + 17, 0x7fffffff, 0xffffffff, 0, 15]) {
      const header = new Uint8Array(SESSION_HEADER_BYTES);
      new DataView(header.buffer).setUint32(0, length);
      const [, fresh] = sessions();
      fresh.push(header);
      expect(() => fresh.next()).toThrow(ProtocolError);
    }
    expect(received(far, new Uint8Array(4))).toEqual([]);
  });

  test("a frame repeated, left out, swapped, cut or changed ends the session", () => {
    const stream = (order: (frames: Uint8Array[]) => Uint8Array[]) => {
      const [near, far] = sessions();
      const frames = ["one", "two", "three"].map((words) => near.message(utf8(words)));
      return () => received(far, concat(...order(frames)));
    };
    expect(stream((frames) => frames)()).toEqual(["one", "two", "three"]);
    expect(stream(([a, b]) => [a!, a!, b!])).toThrow(ProtocolError);
    expect(stream(([a, , c]) => [a!, c!])).toThrow(ProtocolError);
    expect(stream(([a, b]) => [b!, a!])).toThrow(ProtocolError);
    expect(stream(([a, b]) => [a!.slice(0, -1), b!])).toThrow(ProtocolError);
    for (let at = 4; at < 24; at++) {
      const flip = ([a]: Uint8Array[]) => {
        a![at]! ^= 1;
        return [a!];
      };
      expect(stream(flip)).toThrow(ProtocolError);
    }
  });

  test("our own frames sent back are refused", () => {
    const [near] = sessions();
    expect(() => received(near, near.message(utf8("hello")))).toThrow(ProtocolError);
  });

  test("keys move on after so many messages, in the middle of the stream, and nothing is lost", () => {
    const [near, far] = sessions(3);
    const words = Array.from({ length: 20 }, (_, i) => `message ${i}`);
    const frames = words.map((word) => near.message(utf8(word)));
    expect(frames.map((frame) => frame[4])).toContain(KIND_REKEY);
    expect(received(far, concat(...frames))).toEqual(words);
    expect(received(near, far.message(utf8("and back")))).toEqual(["and back"]);
  });

  test("a direction that sent nothing has no key to renew", () => {
    const [near, far] = sessions();
    expect(near.rekey()).toBeUndefined();
    const first = near.message(utf8("one"));
    const rekey = near.rekey();
    expect(rekey?.[4]).toBe(KIND_REKEY);
    expect(near.rekey()).toBeUndefined();
    expect(received(far, concat(first, rekey!, near.message(utf8("two"))))).toEqual(["one", "two"]);
  });

  test("what was sealed before a rekey cannot be opened with the key after it", () => {
    const key = sodiumSealing.random(32);
    const [sender, thief] = [new CipherState(sodiumSealing, key.slice()), new CipherState(sodiumSealing, key.slice())];
    const nothing = new Uint8Array(0);
    const sealed = sender.encrypt(nothing, utf8("secret"));
    thief.rekey(); // has the key of later
    expect(thief.decrypt(nothing, sealed)).toBeUndefined();
  });

  test("the limits are those of the design", () => {
    expect(REKEY_MS).toBeLessThanOrEqual(120_000);
    expect(REKEY_MESSAGES).toBeLessThanOrEqual(2 ** 24);
  });

  test("a refusal brings its reason, made fit for a terminal", () => {
    const [near, far] = sessions();
    expect(received(far, near.refuse("peer names collision"))).toEqual(["!peer names collision"]);
    const [rude, poor] = sessions();
    const [reason] = received(poor, rude.refuse(`\u001b[31mred\u0007${"x".repeat(5000)}`));
    expect(reason).toStartWith("!?[31mred?xxx");
    expect(reason!.length).toBeLessThan(600);
  });

  test("frames of a kind we do not know are skipped", () => {
    const key = sodiumSealing.random(32);
    const sender = new CipherState(sodiumSealing, key.slice());
    const unused = new CipherState(sodiumSealing, sodiumSealing.random(32));
    const far = new Session({ send: unused, receive: new CipherState(sodiumSealing, key.slice()) });
    const frameOf = (kind: number, body: Uint8Array) => {
      const header = new Uint8Array(SESSION_HEADER_BYTES);
      new DataView(header.buffer).setUint32(0, body.length + 16);
      header[4] = kind;
      return concat(header, sender.encrypt(header, body));
    };
    expect(received(far, concat(frameOf(77, utf8("future")), frameOf(0, utf8("known"))))).toEqual(["known"]);
  });
});
