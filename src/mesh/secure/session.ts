// SPDX-License-Identifier: Apache-2.0
// What follows the handshake: sealed frames in both directions, each with its own key and counter, so nothing can be left out, repeated,
// reordered or cut off unnoticed. The sender moves its key on and says so in the stream.
//
//   offset size field
//        0    4 length of the sealed body, big-endian: plaintext and 16 bytes of tag
//        4    1 kind (append-only; unknown kinds are opened and skipped)
//        5    … sealed body; the 5 bytes above are its associated data
import { ProtocolError } from "../../runtime/errors.ts";
import { printable } from "../fields.ts";
import { FrameReader } from "./framing.ts";
import type { CipherState } from "./noise.ts";
import { concat, TAG_BYTES, utf8 } from "./sealing.ts";

/** Plaintext of one message. */
export const MESSAGE_BYTES_MAX = 2 ** 20;
/** A direction that sent anything moves to its next key at least so often, or after so many messages. */
export const REKEY_MS = 2 * 60_000;
export const REKEY_MESSAGES = 2 ** 24;
/** A peer that never rekeys is not one of ours. */
const REKEY_PATIENCE = 2 ** 25;
export const SESSION_HEADER_BYTES = 5;
const REASON_BYTES_MAX = 512;
const NOTHING = new Uint8Array(0);

/** Append-only. */
const KIND = { message: 0, rekey: 1, refuse: 2, close: 3 } as const;

export type SessionEvent =
  | { readonly type: "message"; readonly bytes: Uint8Array }
  /** The last thing the other end says, and why. */
  | { readonly type: "refused"; readonly reason: string }
  /** The other end closed in an orderly way; what is missing behind it was never sent. */
  | { readonly type: "closed" };

export class Session {
  readonly #send: CipherState;
  readonly #receive: CipherState;
  readonly #reader = new FrameReader(SESSION_HEADER_BYTES, bodyLength);
  readonly #rekeyMessages: number;
  #sentSinceRekey = 0;
  #receivedSinceRekey = 0;

  /** Takes over both ciphers. `rekeyMessages` is smaller in tests only. */
  constructor(ciphers: { readonly send: CipherState; readonly receive: CipherState }, rekeyMessages = REKEY_MESSAGES) {
    this.#send = ciphers.send;
    this.#receive = ciphers.receive;
    this.#rekeyMessages = rekeyMessages;
  }
  /** One message as bytes for the wire, behind a rekey when one is due. @throws {RangeError} more than MESSAGE_BYTES_MAX */
  message(plaintext: Uint8Array): Uint8Array {
    if (plaintext.length > MESSAGE_BYTES_MAX) throw new RangeError(`a message of ${plaintext.length} bytes is too long`);
    if (this.#sentSinceRekey < this.#rekeyMessages) return this.#seal(KIND.message, plaintext);
    const rekey = this.rekey() ?? NOTHING;
    return concat(rekey, this.#seal(KIND.message, plaintext));
  }
  /** Moves our direction to its next key; undefined when nothing was sent with this one. */
  rekey(): Uint8Array | undefined {
    if (this.#sentSinceRekey === 0) return undefined;
    const frame = this.#seal(KIND.rekey, NOTHING);
    this.#send.rekey();
    this.#sentSinceRekey = 0;
    return frame;
  }
  refuse(reason: string): Uint8Array {
    return this.#seal(KIND.refuse, utf8(reason).slice(0, REASON_BYTES_MAX));
  }
  close(): Uint8Array {
    return this.#seal(KIND.close, NOTHING);
  }
  /** Takes the next bytes from the wire; call `next` until it returns undefined before pushing again. */
  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }
  /** @throws {ProtocolError} the stream was changed or is not one: the connection is over */
  next(): SessionEvent | undefined {
    for (;;) {
      const frame = this.#reader.next();
      if (!frame) return undefined;
      const plaintext = this.#receive.decrypt(frame.header, frame.body);
      if (!plaintext) throw new ProtocolError("a message was changed on the way");
      if (++this.#receivedSinceRekey > REKEY_PATIENCE) throw new ProtocolError("the peer never renews its key");
      switch (frame.header[4]) {
        case KIND.message:
          return { type: "message", bytes: plaintext };
        case KIND.rekey:
          this.#receive.rekey();
          this.#receivedSinceRekey = 0;
          break;
        case KIND.refuse:
          return { type: "refused", reason: readReason(plaintext) };
        case KIND.close:
          return { type: "closed" };
      }
    }
  }
  wipe(): void {
    this.#send.wipe();
    this.#receive.wipe();
  }
  #seal(kind: number, plaintext: Uint8Array): Uint8Array {
    this.#sentSinceRekey++;
    const header = new Uint8Array(SESSION_HEADER_BYTES);
    new DataView(header.buffer).setUint32(0, plaintext.length + TAG_BYTES);
    header[4] = kind;
    const frame = this.#send.encrypt(header, plaintext, SESSION_HEADER_BYTES);
    frame.set(header);
    return frame;
  }
}

function bodyLength(header: Uint8Array): number {
  const length = new DataView(header.buffer, header.byteOffset).getUint32(0);
  if (length < TAG_BYTES || length > MESSAGE_BYTES_MAX + TAG_BYTES) throw new ProtocolError(`a frame of ${length} bytes`);
  return length;
}

function readReason(bytes: Uint8Array): string {
  return printable(new TextDecoder().decode(bytes.subarray(0, REASON_BYTES_MAX))) || "no reason given";
}
