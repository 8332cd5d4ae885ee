// SPDX-License-Identifier: Apache-2.0
// DNS messages on a byte stream: two bytes of length, then the message (RFC 1035 section 4.2.2). Pieces come as the network likes.

/** One message with its length in front. */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  bytes[0] = message.length >> 8;
  bytes[1] = message.length & 0xff;
  bytes.set(message, 2);
  return bytes;
}

/** Takes pieces, gives whole messages. Holds at most one message that is not yet whole. */
export class MessageReader {
  readonly #limitBytes: number;
  #held = new Uint8Array(0);

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Copies what it keeps. undefined: a longer message than the limit begins, and the stream is of no more use. */
  push(piece: Uint8Array): Uint8Array[] | undefined {
    const all = new Uint8Array(this.#held.length + piece.length);
    all.set(this.#held);
    all.set(piece, this.#held.length);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= 2) {
      const length = (all[at]! << 8) | all[at + 1]!;
      if (length > this.#limitBytes) return undefined;
      const end = at + 2 + length;
      if (end > all.length) break;
      messages.push(all.subarray(at + 2, end));
      at = end;
    }
    this.#held = all.slice(at);
    return messages;
  }
}
