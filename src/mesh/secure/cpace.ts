// SPDX-License-Identifier: Apache-2.0
// CPace over ristretto255 with SHA-512 (draft-irtf-cfrg-cpace-21, CPACE-RISTR255-SHA512), in its initiator-responder form: a balanced
// password-authenticated key exchange. Each run is good for one guess by whoever does not know the password, and only online.
import { concat, type Sealing, utf8 } from "./sealing.ts";

const DSI = utf8("CPaceRistretto255");
const DSI_ISK = utf8("CPaceRistretto255_ISK");
const SHA512_BLOCK_BYTES = 128;

/** The public and secret half of one party's run. The scalar is used for one `intermediateKey` and then wiped. */
export interface CpaceRun {
  readonly share: Uint8Array;
  readonly scalar: Uint8Array;
}

/** What both parties must see alike, beside the password. */
export interface CpaceContext {
  /** Who talks to whom, over what; both in the same order. */
  readonly channel: Uint8Array;
  /** Unique for this run. */
  readonly sessionId: Uint8Array;
}

/** Length as LEB128, then the bytes. */
export function prependLength(bytes: Uint8Array): Uint8Array {
  const length: number[] = [];
  let rest = bytes.length;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    length.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return concat(Uint8Array.from(length), bytes);
}

export function lengthValues(...values: readonly Uint8Array[]): Uint8Array {
  return concat(...values.map(prependLength));
}

/** The input of the hash behind the generator; the padding fills the first block so that the time does not tell the password's length. */
export function generatorString(password: Uint8Array, context: CpaceContext): Uint8Array {
  const used = prependLength(password).length + prependLength(DSI).length + 1;
  const padding = new Uint8Array(Math.max(0, SHA512_BLOCK_BYTES - used));
  return lengthValues(DSI, password, padding, context.channel, context.sessionId);
}

export function generator(sealing: Sealing, password: Uint8Array, context: CpaceContext): Uint8Array {
  const text = generatorString(password, context);
  const hash = sealing.sha512(text);
  const element = sealing.element(hash);
  sealing.wipe(text);
  sealing.wipe(hash);
  return element;
}

/** Starts a run; `scalar` is given only by the test of the published vectors. undefined cannot happen with a random scalar. */
export function startCpace(
  sealing: Sealing,
  password: Uint8Array,
  context: CpaceContext,
  scalar: Uint8Array = sealing.scalar(),
): CpaceRun | undefined {
  const base = generator(sealing, password, context);
  const share = sealing.multiply(scalar, base);
  sealing.wipe(base);
  return share && { share, scalar };
}

export interface CpaceShares {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
  readonly initiatorData: Uint8Array;
  readonly responderData: Uint8Array;
}

/** The intermediate session key, 64 bytes; undefined: the other end's share is no element or the identity, and the run must end.
 *  Wipes the scalar. */
export function intermediateKey(
  sealing: Sealing,
  scalar: Uint8Array,
  remoteShare: Uint8Array,
  shares: CpaceShares,
  sessionId: Uint8Array,
): Uint8Array | undefined {
  const secret = sealing.multiply(scalar, remoteShare);
  sealing.wipe(scalar);
  if (!secret) return undefined;
  const { initiator, initiatorData, responder, responderData } = shares;
  const transcript = lengthValues(initiator, initiatorData, responder, responderData);
  const input = concat(lengthValues(DSI_ISK, sessionId, secret), transcript);
  const key = sealing.sha512(input);
  sealing.wipe(secret);
  sealing.wipe(input);
  return key;
}
