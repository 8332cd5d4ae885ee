// SPDX-License-Identifier: Apache-2.0
// Where a message's body ends (RFC 9112 section 6). Only looks: bytes are passed on as they are, chunk sizes and trailers included.
import { type BodyLength, HEAD_BYTES_MAX, MalformedHttp } from "./head.ts";

const LF = 10;
/** A chunk's size with its extensions. */
const SIZE_LINE_MAX = 4096;

export class BodyEnd {
  readonly #chunked: boolean;
  /** Bytes that still belong to the body, or to the chunk. */
  #left: number;
  #state: "size" | "data" | "data-end" | "trailer" | "done";
  #line = "";
  #trailerBytes = 0;

  constructor(length: BodyLength) {
    this.#chunked = length.kind === "chunked";
    this.#left = length.kind === "bytes" ? length.count : length.kind === "chunked" ? 0 : Number.POSITIVE_INFINITY;
    this.#state = this.#chunked ? "size" : this.#left === 0 ? "done" : "data";
  }

  get done(): boolean {
    return this.#state === "done";
  }

  /** How many of `bytes` belong to the body; the rest is the next message's. `data` gets the content without chunk sizes. @throws {MalformedHttp} */
  take(bytes: Uint8Array, data?: (content: Uint8Array) => void): number {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state !== "data") at = this.#takeLine(bytes, at);
      else {
        const end = Math.min(bytes.length, at + this.#left);
        data?.(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = this.#chunked ? "data-end" : "done";
      }
    }
    return at;
  }

  #takeLine(bytes: Uint8Array, at: number): number {
    const end = bytes.indexOf(LF, at);
    const upTo = end < 0 ? bytes.length : end;
    if (this.#line.length + upTo - at > SIZE_LINE_MAX) throw new MalformedHttp("a line of a chunk is too long");
    this.#line += Buffer.from(bytes.subarray(at, upTo)).toString("latin1");
    if (end < 0) return bytes.length;
    const line = this.#line.replace(/\r$/, "");
    this.#line = "";
    this.#endLine(line);
    return end + 1;
  }

  #endLine(line: string): void {
    if (this.#state === "data-end") {
      if (line !== "") throw new MalformedHttp("a chunk is longer than its size");
      this.#state = "size";
    } else if (this.#state === "trailer") {
      this.#trailerBytes += line.length;
      if (this.#trailerBytes > HEAD_BYTES_MAX) throw new MalformedHttp("too much behind the last chunk");
      if (line === "") this.#state = "done";
    } else {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw new MalformedHttp(`bad chunk size '${line.slice(0, 80)}'`);
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    }
  }
}
