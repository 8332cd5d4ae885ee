// SPDX-License-Identifier: Apache-2.0
// Keys of a sleeve session. From a secret both ends share come one key for each direction and the next link of a chain; with every rekey a fresh
// X25519 exchange goes into the chain, so neither earlier nor later keys follow from those of now. Hashes are BLAKE2b (RFC 7693).
import { concat, utf8 } from "../../mesh/secure/sealing.ts";
import type { PathSealing } from "../carriers.ts";

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

/** Takes over `secret` and wipes it. */
export function deriveKeys(sealing: PathSealing, secret: Uint8Array, isInitiator: boolean): SessionKeys {
  const ofInitiator = derive(sealing, LABELS.initiator, secret);
  const ofResponder = derive(sealing, LABELS.responder, secret);
  const chain = derive(sealing, LABELS.chain, secret);
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
  const input = concat(chain, shared, publicKeys.initiator, publicKeys.responder);
  const secret = derive(sealing, LABELS.rekey, input);
  sealing.wipe(input);
  sealing.wipe(shared);
  return secret;
}

function derive(sealing: PathSealing, label: Uint8Array, secret: Uint8Array): Uint8Array {
  const input = concat(label, secret);
  const hash = sealing.blake2b(input);
  const key = hash.slice(0, KEY_BYTES);
  sealing.wipe(input);
  sealing.wipe(hash);
  return key;
}
