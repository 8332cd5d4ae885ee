// SPDX-License-Identifier: Apache-2.0
// The frames of the handshake, behind the preambles.
//
//   offset size field
//        0    2 length of the body, big-endian
//        2    1 kind (append-only)
//        3    … body
import { ProtocolError } from "../../runtime/errors.ts";
import { HELLO_BYTES_MAX } from "./hello.ts";
import { encodeHead, PROTOCOL_VERSIONS } from "./preamble.ts";
import { REFUSAL } from "./refusal.ts";
import { concat } from "./sealing.ts";

/** Append-only. */
export const KIND = { shares: 1, proof: 2, noise: 3, refusal: 4 } as const;
export const FRAME_HEADER_BYTES = 3;
/** The longest is Noise message 2 or 3 with a hello; 16 pairs of shares and tags have 768 bytes. */
const FRAME_BYTES_MAX = HELLO_BYTES_MAX + 256;

export function encodeFrame(kind: number, body: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(body.length >> 8, body.length & 0xff, kind), body);
}

/** For a FrameReader. @throws {ProtocolError} longer than any honest one */
export function frameLength(header: Uint8Array): number {
  const length = header[0]! * 256 + header[1]!;
  if (length > FRAME_BYTES_MAX) throw new ProtocolError(`a handshake message of ${length} bytes is too long`);
  return length;
}

/** @throws {ProtocolError} another kind */
export function expectedBody(kind: number, header: Uint8Array, body: Uint8Array): Uint8Array {
  if (header[2] !== kind) throw new ProtocolError("a handshake message out of turn");
  return body;
}

/** What a listener says to a connection it has no room for: a preamble without a body, and why. */
export function busyReply(): Uint8Array {
  return concat(encodeHead(PROTOCOL_VERSIONS), Uint8Array.of(0, 0), encodeFrame(KIND.refusal, Uint8Array.of(REFUSAL.busy)));
}
