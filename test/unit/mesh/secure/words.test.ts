// SPDX-License-Identifier: Apache-2.0
// What peers say of themselves, in the clear (preamble) and sealed (hello), and the frames both come in.
import { describe, expect, test } from "bun:test";
import { Packr } from "msgpackr/pack";
import { FrameReader } from "../../../../src/mesh/secure/framing.ts";
import { decodeHello, encodeHello, HELLO_BYTES_MAX } from "../../../../src/mesh/secure/hello.ts";
import { agreedVersion, decodeHead, decodePreamble, encodePreamble } from "../../../../src/mesh/secure/preamble.ts";
import { concat } from "../../../../src/mesh/secure/sealing.ts";
import { ProtocolError } from "../../../../src/runtime/errors.ts";
import { helloOf } from "../../../support/transport.ts";

const packr = new Packr({ useRecords: false });
const pack = (value: unknown) => Uint8Array.from(packr.pack(value));

describe("hello", () => {
  const hello = { ...helloOf(5), nickname: "höst 5", trusted: true, transports: ["fastdp", "sleeve"] };

  test("comes out as it went in, and keys nobody knows yet are ignored", () => {
    expect(decodeHello(encodeHello(hello))).toEqual(hello);
    expect(decodeHello(pack({ ...hello, future: { deep: [1, 2, { x: null }] } }))).toEqual(hello);
  });

  test("has the same bytes for the same words", () => {
    expect(encodeHello(helloOf(1)).toHex()).toBe(
      "88a46e616d65cb4280000000000800a86e69636b6e616d65a5686f737431a3756964b030303030303030303030303030303031a773686f7274496401" +
        "a4706f7274cd1a7fa56e6f6e6365cd03e9a774727573746564c2aa7472616e73706f72747391a6666173746470",
    );
  });

  test("wrong words are refused", () => {
    const wrong: Record<string, unknown>[] = [
      { name: 0 },
      { name: 2 ** 48 },
      { name: "66:b4:a1:85:da:65" },
      { nickname: 5 },
      { nickname: "x".repeat(300) },
      { uid: "12" },
      { uid: "000000000000000G" },
      { shortId: 0 },
      { shortId: 4095 },
      { port: 0 },
      { port: 70_000 },
      { nonce: 2 ** 32 },
      { nonce: -1 },
      { nonce: 0.5 },
      { trusted: 1 },
      { transports: "fastdp" },
      { transports: [5] },
      { transports: new Array(17).fill("x") },
      { transports: ["x".repeat(40)] },
    ];
    for (const change of wrong) expect(() => decodeHello(pack({ ...hello, ...change }))).toThrow(ProtocolError);
    for (const key of Object.keys(hello)) {
      const { [key as keyof typeof hello]: _, ...rest } = hello;
      expect(() => decodeHello(pack(rest))).toThrow(ProtocolError);
    }
  });

  test("bytes that are no plain map are refused", () => {
    for (const value of [null, 5, "x", [hello], new Date(0), /x/, new Set([1])])
      expect(() => decodeHello(pack(value))).toThrow(ProtocolError);
    for (const bytes of ["", "df", "dfffffffff", "ddffffffff", "dbffffffff", "c6ffffffff", "c1", "d4720000", "81".repeat(50)]) {
      expect(() => decodeHello(Uint8Array.fromHex(bytes))).toThrow(ProtocolError);
    }
    const long = pack({ ...hello, future: "x".repeat(HELLO_BYTES_MAX) });
    expect(() => decodeHello(long)).toThrow(ProtocolError);
    expect(() => decodeHello(concat(encodeHello(hello), Uint8Array.of(0)))).toThrow(ProtocolError);
  });

  test("a nickname cannot play with the terminal, and ours is cut to what others accept", () => {
    expect(decodeHello(pack({ ...hello, nickname: "a\u001b[2Jb\nc\u202ed" })).nickname).toBe("a?[2Jb?c?d");
    expect(decodeHello(encodeHello({ ...hello, nickname: "x".repeat(400) })).nickname).toBe("x".repeat(255));
  });
});

describe("preamble", () => {
  const preamble = {
    ephemeral: new Uint8Array(32).fill(1),
    random: new Uint8Array(32).fill(2),
    name: helloOf(1).name,
    passwords: 2,
  };
  const versions = { min: 3, max: 4 };
  const bodyOf = (bytes: Uint8Array) => bytes.subarray(9);

  test("comes out as it went in", () => {
    const bytes = encodePreamble(versions, preamble);
    expect(bytes.length).toBe(80);
    expect(decodeHead(bytes.subarray(0, 7))).toEqual(versions);
    expect(decodePreamble(bodyOf(bytes))).toEqual(preamble);
  });

  test("extensions are skipped when their lengths fit, refused when not", () => {
    const body = bodyOf(encodePreamble(versions, preamble));
    const withExtension = (...extension: number[]) => decodePreamble(concat(body, Uint8Array.from(extension)));
    expect(withExtension(9, 2, 1, 1, 200, 0)).toEqual(preamble);
    for (const extension of [[9], [9, 2, 1], [9, 255]]) expect(() => withExtension(...extension)).toThrow(ProtocolError);
  });

  test("a short one, a nameless one and too many passwords are refused", () => {
    const body = bodyOf(encodePreamble(versions, preamble));
    expect(() => decodePreamble(body.slice(0, -1))).toThrow(ProtocolError);
    expect(() => decodePreamble(concat(body.slice(0, 64), new Uint8Array(6), body.slice(70)))).toThrow(ProtocolError);
    expect(() => decodePreamble(concat(body.slice(0, -1), Uint8Array.of(5)))).toThrow(ProtocolError);
  });

  test("the agreed version is the highest that both know", () => {
    expect(agreedVersion({ min: 3, max: 5 }, { min: 4, max: 9 })).toBe(5);
    expect(agreedVersion({ min: 3, max: 3 }, { min: 4, max: 9 })).toBeUndefined();
    expect(agreedVersion({ min: 5, max: 6 }, { min: 1, max: 4 })).toBeUndefined();
  });
});

describe("frames", () => {
  const lengthOf = (header: Uint8Array) => header[0]!;

  test("a reader hands the rest to the next one", () => {
    const reader = new FrameReader(1, lengthOf);
    reader.push(Uint8Array.of(2, 7, 8, 9, 9));
    expect(reader.next()?.body).toEqual(Uint8Array.of(7, 8));
    expect(reader.rest()).toEqual(Uint8Array.of(9, 9));
    expect(reader.isBetweenFrames).toBe(true);
  });

  test("a body is kept until it is whole", () => {
    const reader = new FrameReader(2, lengthOf);
    const chunks = [[3], [0], [1], [], [2, 3, 0], [0, 1]];
    const bodies = chunks.map((chunk) => {
      reader.push(Uint8Array.from(chunk));
      const body = reader.next()?.body.toHex();
      return reader.next() ? "two at once" : body;
    });
    expect(bodies).toEqual([undefined, undefined, undefined, undefined, "010203", ""]);
  });
});
