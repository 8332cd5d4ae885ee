// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BodyEnd } from "../../../src/proxy/body.ts";
import {
  type BodyLength,
  encodeRequest,
  headLength,
  MalformedHttp,
  parseRequestHead,
  parseResponseHead,
  requestBody,
  responseBody,
} from "../../../src/proxy/head.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const request = (...lines: readonly string[]) => parseRequestHead(bytes(`${lines.join("\r\n")}\r\n\r\n`));

describe("a head", () => {
  test("ends with its first empty line, whatever its line ends", () => {
    expect(headLength(bytes("GET / HTTP/1.1\r\nA: b\r\n\r\nrest"))).toBe(24);
    expect(headLength(bytes("GET / HTTP/1.1\nA: b\n\nrest"))).toBe(21);
    expect(headLength(bytes("GET / HTTP/1.1\r\nA: b\r\n"))).toBeUndefined();
  });
  test("is read with all headers in their order", () => {
    const head = request(
      "POST /v1.41/containers/create?name=a HTTP/1.1",
      "Host: docker",
      "X-A:  1 ",
      "x-a: 2",
      "Content-Length: 5",
    );
    expect(head).toMatchObject({ method: "POST", target: "/v1.41/containers/create?name=a", version: "HTTP/1.1" });
    expect(head.list.slice(1, 3)).toEqual([
      ["X-A", "1"],
      ["x-a", "2"],
    ]);
    expect(requestBody(head)).toEqual({ kind: "bytes", count: 5 });
    expect(Buffer.from(encodeRequest(head, bytes("{}"))).toString()).toBe(
      "POST /v1.41/containers/create?name=a HTTP/1.1\r\nHost: docker\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\n{}",
    );
  });
  test.each(["GET /", "GET  / HTTP/1.1", "GET / HTTP/2.0", "hello", "G@T / HTTP/1.1", "\x16\x03\x01"])("'%s' is none", (line) => {
    expect(() => request(line)).toThrow(MalformedHttp);
  });
  test("with a line that is no header is refused", () => {
    for (const lines of [["X: 1", " folded"], ["no colon"], [": empty"], ["spa ce: 1"]]) {
      expect(() => request("GET / HTTP/1.1", ...lines)).toThrow(MalformedHttp);
    }
  });
  test("whose body two readers could take for different ones is refused", () => {
    for (const lines of [
      ["Content-Length: 5", "Transfer-Encoding: chunked"],
      ["Content-Length: 5", "Content-Length: 6"],
      ["Content-Length: -1"],
      ["Content-Length: 1e3"],
      ["Content-Length: 0x10"],
      ["Transfer-Encoding: gzip, chunked"],
      ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ]) {
      expect(() => requestBody(request("POST / HTTP/1.1", ...lines))).toThrow(MalformedHttp);
    }
  });
  test("of an answer says how long its body is", () => {
    const body = (method: string, text: string) => responseBody(method, parseResponseHead(bytes(`${text}\r\n\r\n`)));
    expect(body("GET", "HTTP/1.1 200 OK\r\nContent-Length: 7")).toEqual({ kind: "bytes", count: 7 });
    expect(body("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7")).toEqual({ kind: "bytes", count: 0 });
    expect(body("POST", "HTTP/1.1 204 No Content")).toEqual({ kind: "bytes", count: 0 });
    expect(body("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7")).toEqual({ kind: "bytes", count: 0 });
    expect(body("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")).toEqual({ kind: "chunked" });
    expect(body("POST", "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream")).toEqual({ kind: "until-close" });
  });
});

describe("a body", () => {
  const CHUNKED: BodyLength = { kind: "chunked" };
  /** Content, and how much was taken of all, when it comes in these pieces. */
  const read = (length: BodyLength, pieces: readonly Uint8Array[]) => {
    const end = new BodyEnd(length);
    let content = "";
    let taken = 0;
    for (const piece of pieces) {
      const part = end.take(piece, (data) => {
        content += Buffer.from(data).toString("latin1");
      });
      taken += part;
      if (part < piece.length) break;
    }
    return { content, taken, done: end.done };
  };
  const cut = (text: string, at: readonly number[]): Uint8Array[] => {
    const places = [0, ...[...at].sort((a, b) => a - b), text.length].map((place) => Math.min(place, text.length));
    return places.slice(1).map((place, index) => bytes(text.slice(places[index], place)));
  };

  test("in chunks ends behind its trailer, however it is cut", () => {
    const chunk = fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 5 }),
        fc.array(fc.nat(300), { maxLength: 6 }),
        fc.boolean(),
        (chunks, cuts, hasTrailer) => {
          const text = `${chunks.map((one) => `${one.length.toString(16)};x=y\r\n${one}\r\n`).join("")}0\r\n${hasTrailer ? "A: b\r\n" : ""}\r\n`;
          expect(read(CHUNKED, cut(`${text}next`, cuts))).toEqual({ content: chunks.join(""), taken: text.length, done: true });
        },
      ),
    );
  });
  test("of a known length ends there", () => {
    expect(read({ kind: "bytes", count: 4 }, cut("bodynext", [2]))).toEqual({ content: "body", taken: 4, done: true });
    expect(new BodyEnd({ kind: "bytes", count: 0 }).done).toBe(true);
    expect(read({ kind: "until-close" }, [bytes("all")])).toEqual({ content: "all", taken: 3, done: false });
  });
  test("with a bad chunk is refused", () => {
    for (const text of ["x\r\n", "-1\r\n", "5\r\nabcdefg\r\n", "1000000000000000\r\n", "0".repeat(5000)]) {
      expect(() => read(CHUNKED, [bytes(text)])).toThrow(MalformedHttp);
    }
  });
});
