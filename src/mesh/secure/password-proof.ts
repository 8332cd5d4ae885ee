// SPDX-License-Identifier: Apache-2.0
// CPace for ends that may each hold several passwords while one is being replaced: every pair (a password of the dialler, one of the
// listener) is a run of its own, with its own scalars and its own channel identifier. Runs whose passwords are equal yield equal keys on
// both ends, the others unrelated ones. A forger gets one guess for each share it sends: at most four per password and connection.
import { invariant } from "../../runtime/errors.ts";
import { type CpaceRun, intermediateKey, lengthValues, startCpace } from "./cpace.ts";
import { hkdf2, hmac } from "./kdf.ts";
import { concat, ELEMENT_BYTES, KEY_BYTES, type Sealing, utf8 } from "./sealing.ts";

export const PROOF_TAG_BYTES = 16;
const NOTHING = new Uint8Array(0);
const CHANNEL = utf8("weave control connection");
const DIALLER_KNOWS = utf8("weave: the dialler knows the password");

export interface ProofOptions {
  readonly dials: boolean;
  readonly passwords: readonly Uint8Array[];
  /** How many the other end announced. */
  readonly remotePasswords: number;
  /** Covers both preambles, so both ephemeral keys, random values and claimed names. */
  readonly sessionId: Uint8Array;
  /** As claimed, six bytes each. */
  readonly dialler: Uint8Array;
  readonly listener: Uint8Array;
}

export interface PairKeys {
  /** The dialler's proof that it knows the password of this pair. */
  readonly tag: Uint8Array;
  /** 32 bytes, for Noise. */
  readonly psk: Uint8Array;
}

export class PasswordProof {
  readonly #sealing: Sealing;
  readonly #options: ProofOptions;
  readonly #runs: CpaceRun[] = [];

  constructor(sealing: Sealing, options: ProofOptions) {
    this.#sealing = sealing;
    this.#options = options;
    const { dials, passwords, remotePasswords } = options;
    const diallers = dials ? passwords.length : remotePasswords;
    const listeners = dials ? remotePasswords : passwords.length;
    for (let d = 0; d < diallers; d++) {
      for (let l = 0; l < listeners; l++) this.#runs.push(this.#start(passwords[dials ? d : l], d, l));
    }
  }
  /** The number of runs: the product of both ends' numbers of passwords. */
  get pairs(): number {
    return this.#runs.length;
  }
  /** Ours, of all runs. */
  get shares(): Uint8Array {
    return concat(...this.#runs.map((run) => run.share));
  }

  /** Ends all runs; `transcript` is everything both ends sent before the proof. undefined: a share is not acceptable.
   *  `remoteShares` has `pairs` times 32 bytes. */
  finish(remoteShares: Uint8Array, transcript: Uint8Array): PairKeys[] | undefined {
    const keys: PairKeys[] = [];
    for (const [pair, run] of this.#runs.entries()) {
      const remoteShare = remoteShares.subarray(pair * ELEMENT_BYTES, (pair + 1) * ELEMENT_BYTES);
      const key = this.#intermediateKey(run, remoteShare);
      if (!key) {
        this.wipe();
        wipePairs(this.#sealing, keys);
        return undefined;
      }
      keys.push(this.#pairKeys(key, transcript));
    }
    return keys;
  }
  wipe(): void {
    for (const run of this.#runs) this.#sealing.wipe(run.scalar);
  }

  #start(password: Uint8Array | undefined, dialler: number, listener: number): CpaceRun {
    invariant(password !== undefined, "a pair without a password");
    const { sessionId, dialler: diallerName, listener: listenerName } = this.#options;
    const channel = lengthValues(CHANNEL, diallerName, listenerName, Uint8Array.of(dialler, listener));
    const run = startCpace(this.#sealing, password, { channel, sessionId });
    invariant(run !== undefined, "a random scalar gave the identity");
    return run;
  }
  #intermediateKey(run: CpaceRun, remoteShare: Uint8Array): Uint8Array | undefined {
    const { dials, sessionId } = this.#options;
    const shares = {
      initiator: dials ? run.share : remoteShare,
      responder: dials ? remoteShare : run.share,
      initiatorData: NOTHING,
      responderData: NOTHING,
    };
    return intermediateKey(this.#sealing, run.scalar, remoteShare, shares, sessionId);
  }
  #pairKeys(intermediate: Uint8Array, transcript: Uint8Array): PairKeys {
    const [proofKey, psk] = hkdf2(this.#sealing, this.#sealing.blake2b(transcript), intermediate);
    const tag = hmac(this.#sealing, proofKey, DIALLER_KNOWS);
    const keys = { tag: tag.slice(0, PROOF_TAG_BYTES), psk: psk.slice(0, KEY_BYTES) };
    for (const secret of [intermediate, proofKey, psk, tag]) this.#sealing.wipe(secret);
    return keys;
  }
}

export function wipePairs(sealing: Sealing, pairs: readonly PairKeys[]): void {
  for (const pair of pairs) {
    sealing.wipe(pair.tag);
    sealing.wipe(pair.psk);
  }
}
