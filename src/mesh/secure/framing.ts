// SPDX-License-Identifier: Apache-2.0
// Frames out of a byte stream: a header of fixed size says how long the body is, and that is checked before anything is allocated.

export interface Frame {
  readonly header: Uint8Array;
  /** May lie in the chunk it came with: valid until the next `push`. */
  readonly body: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/** Give it a chunk with `push`, then call `next` until it returns undefined; only then push again. */
export class FrameReader {
  readonly #header: Uint8Array;
  readonly #bodyLength: (header: Uint8Array) => number;
  #headerFilled = 0;
  #body: Uint8Array | undefined;
  #bodyFilled = 0;
  #input: Uint8Array = NOTHING;

  /** `bodyLength` reads the length from a complete header. It throws ProtocolError when it is more than it allows. */
  constructor(headerBytes: number, bodyLength: (header: Uint8Array) => number) {
    this.#header = new Uint8Array(headerBytes);
    this.#bodyLength = bodyLength;
  }
  push(chunk: Uint8Array): void {
    this.#input = chunk;
  }
  /** What was pushed and belongs to no frame taken so far; for another reader to go on with. */
  rest(): Uint8Array {
    const rest = this.#input;
    this.#input = NOTHING;
    return rest;
  }
  /** Whether the stream may end here: no frame is incomplete. */
  get isBetweenFrames(): boolean {
    return this.#headerFilled === 0 && this.#input.length === 0;
  }
  /** @throws {ProtocolError} from `bodyLength` */
  next(): Frame | undefined {
    if (this.#body) return this.#continueBody(this.#body);
    const missing = this.#header.length - this.#headerFilled;
    this.#header.set(this.#input.subarray(0, missing), this.#headerFilled);
    this.#headerFilled += Math.min(missing, this.#input.length);
    this.#input = this.#input.subarray(missing);
    if (this.#headerFilled < this.#header.length) return undefined;
    const length = this.#bodyLength(this.#header);
    if (this.#input.length >= length) {
      const body = this.#input.subarray(0, length);
      this.#input = this.#input.subarray(length);
      return this.#finish(body);
    }
    this.#body = new Uint8Array(new ArrayBuffer(length));
    this.#bodyFilled = 0;
    return this.#continueBody(this.#body);
  }
  #continueBody(body: Uint8Array): Frame | undefined {
    const part = this.#input.subarray(0, body.length - this.#bodyFilled);
    body.set(part, this.#bodyFilled);
    this.#bodyFilled += part.length;
    this.#input = this.#input.subarray(part.length);
    return this.#bodyFilled === body.length ? this.#finish(body) : undefined;
  }
  #finish(body: Uint8Array): Frame {
    this.#body = undefined;
    this.#headerFilled = 0;
    return { header: this.#header, body };
  }
}
