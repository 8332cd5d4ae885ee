// SPDX-License-Identifier: Apache-2.0
// Keys of a sleeve session. From a secret both ends share come one key for each direction and the next link of a chain; with every rekey a fresh
// X25519 exchange goes into the chain, so neither earlier nor later keys follow from those of now. Cipher and indices are part of it: whoever
// begins again with the same secret, its counters lost, has other indices and so other keys. Hashes are BLAKE2b (RFC 7693).
import { concat, utf8 } from "../../mesh/secure/sealing.ts";
import type { PathSealing, SleeveCipher } from "../carriers.ts";

const KEY_BYTES = 32;
const LABELS = {
  initiator: utf8("weave sleeve: initiator sends"),
  responder: utf8("weave sleeve: responder sends"),
  chain: utf8("weave sleeve: chain"),
  rekey: utf8("weave sleeve: rekey"),
} as const;

export interface SessionKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
  /** What the next keys come from. */
  readonly chain: Uint8Array;
}
/** What both ends know of the keys to be. */
export interface KeyContext {
  readonly isInitiator: boolean;
  readonly cipher: SleeveCipher;
  /** Index we receive by, and the other end's. */
  readonly localIndex: number;
  readonly remoteIndex: number;
}

/** Wipes `secret`. */
export function deriveKeys(sealing: PathSealing, secret: Uint8Array, context: KeyContext): SessionKeys {
  const { isInitiator, localIndex, remoteIndex, cipher } = context;
  const indices = new Uint8Array(8);
  const view = new DataView(indices.buffer);
  view.setUint32(0, isInitiator ? localIndex : remoteIndex);
  view.setUint32(4, isInitiator ? remoteIndex : localIndex);
  const rest = concat(indices, utf8(cipher));
  const ofInitiator = derive(sealing, LABELS.initiator, secret, rest);
  const ofResponder = derive(sealing, LABELS.responder, secret, rest);
  const chain = derive(sealing, LABELS.chain, secret, rest);
  sealing.wipe(secret);
  return isInitiator ? { send: ofInitiator, receive: ofResponder, chain } : { send: ofResponder, receive: ofInitiator, chain };
}

/** The secret of the next keys. `shared` is the X25519 result, wiped here; the public keys are those of initiator and responder. */
export function nextSecret(
  sealing: PathSealing,
  chain: Uint8Array,
  shared: Uint8Array,
  publicKeys: { readonly initiator: Uint8Array; readonly responder: Uint8Array },
): Uint8Array {
  const secret = derive(sealing, LABELS.rekey, chain, concat(shared, publicKeys.initiator, publicKeys.responder));
  sealing.wipe(shared);
  return secret;
}

/** All parts but the last have a fixed length, so no two inputs are alike. */
function derive(sealing: PathSealing, label: Uint8Array, secret: Uint8Array, rest: Uint8Array): Uint8Array {
  const input = concat(label, secret, rest);
  const hash = sealing.blake2b(input);
  const key = hash.slice(0, KEY_BYTES);
  sealing.wipe(input);
  sealing.wipe(hash);
  return key;
}
