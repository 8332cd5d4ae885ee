// SPDX-License-Identifier: Apache-2.0
// The Noise protocol framework (revision 34, noiseprotocol.org) for the patterns we speak: CipherState, SymmetricState, HandshakeState of
// its section 5, with 25519, ChaChaPoly and BLAKE2b. Keys are wiped as soon as the next one replaces them.
import { invariant } from "../../runtime/errors.ts";
import { hkdf2, hkdf3 } from "./kdf.ts";
import { concat, HASH_BYTES, KEY_BYTES, type KeyPair, type Sealing, TAG_BYTES, utf8 } from "./sealing.ts";

export type NoiseToken = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";
export interface NoisePattern {
  readonly name: string;
  readonly messages: readonly (readonly NoiseToken[])[];
}
export const XX: NoisePattern = {
  name: "XX",
  messages: [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
};
export const XX_PSK0: NoisePattern = {
  name: "XXpsk0",
  messages: [
    ["psk", "e"],
    ["e", "ee", "s", "es"],
    ["s", "se"],
  ],
};
const SUITE = "25519_ChaChaPoly_BLAKE2b";
const NOTHING = new Uint8Array(0);
const REKEY_NONCE = new Uint8Array(12).fill(0xff, 4);

/** One direction's key and message counter. The nonce is 4 zero bytes and the counter, little-endian (section 12.3). */
export class CipherState {
  readonly #sealing: Sealing;
  #key: Uint8Array;
  #counter = 0;
  readonly #nonce = new Uint8Array(new ArrayBuffer(12));
  readonly #nonceView = new DataView(this.#nonce.buffer);

  /** Takes over `key`. */
  constructor(sealing: Sealing, key: Uint8Array) {
    this.#sealing = sealing;
    this.#key = key;
  }
  encrypt(associated: Uint8Array, plaintext: Uint8Array, headroom = 0): Uint8Array {
    return this.#sealing.seal(this.#key, this.#nextNonce(), associated, plaintext, headroom);
  }
  /** undefined when it is not what the other end sent as its next message. */
  decrypt(associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    return this.#sealing.open(this.#key, this.#nextNonce(), associated, sealed);
  }
  /** A one-way step: what was sealed before cannot be opened with the new key (section 11.3). */
  rekey(): void {
    const sealed = this.#sealing.seal(this.#key, REKEY_NONCE, NOTHING, new Uint8Array(KEY_BYTES), 0);
    this.#sealing.wipe(this.#key);
    this.#key = sealed.slice(0, KEY_BYTES);
    this.#sealing.wipe(sealed);
  }
  wipe(): void {
    this.#sealing.wipe(this.#key);
  }
  #nextNonce(): Uint8Array {
    invariant(this.#counter < Number.MAX_SAFE_INTEGER, "a connection sent 2^53 messages");
    this.#nonceView.setUint32(4, this.#counter % 2 ** 32, true);
    this.#nonceView.setUint32(8, Math.floor(this.#counter / 2 ** 32), true);
    this.#counter++;
    return this.#nonce;
  }
}

class SymmetricState {
  readonly #sealing: Sealing;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #cipher: CipherState | undefined;

  constructor(sealing: Sealing, protocolName: string) {
    this.#sealing = sealing;
    const name = utf8(protocolName);
    this.#hash = new Uint8Array(new ArrayBuffer(HASH_BYTES));
    if (name.length <= HASH_BYTES) this.#hash.set(name);
    else this.#hash = sealing.blake2b(name);
    this.#chainingKey = Uint8Array.from(this.#hash);
  }
  get hash(): Uint8Array {
    return this.#hash;
  }
  get hasKey(): boolean {
    return this.#cipher !== undefined;
  }
  mixHash(data: Uint8Array): void {
    this.#hash = this.#sealing.blake2b(concat(this.#hash, data));
  }
  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = hkdf2(this.#sealing, this.#chainingKey, input);
    this.#replaceKeys(chainingKey, key);
  }
  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf3(this.#sealing, this.#chainingKey, input);
    this.mixHash(hash);
    this.#sealing.wipe(hash);
    this.#replaceKeys(chainingKey, key);
  }
  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#cipher ? this.#cipher.encrypt(this.#hash, plaintext) : plaintext;
    this.mixHash(sealed);
    return sealed;
  }
  decryptAndHash(sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#cipher ? this.#cipher.decrypt(this.#hash, sealed) : sealed;
    this.mixHash(sealed);
    return plaintext;
  }
  /** The initiator's direction, the responder's, and the HKDF's third output, which Noise leaves to others. */
  split(): [CipherState, CipherState, Uint8Array] {
    const [first, second, third] = hkdf3(this.#sealing, this.#chainingKey, NOTHING);
    const ciphers: [CipherState, CipherState] = [this.#cipherOf(first), this.#cipherOf(second)];
    this.wipe();
    return [...ciphers, third];
  }
  wipe(): void {
    this.#sealing.wipe(this.#chainingKey);
    this.#cipher?.wipe();
  }
  #replaceKeys(chainingKey: Uint8Array, key: Uint8Array): void {
    this.wipe();
    this.#chainingKey = chainingKey;
    this.#cipher = this.#cipherOf(key);
  }
  /** BLAKE2b's 64 bytes are cut to the cipher's 32. */
  #cipherOf(key: Uint8Array): CipherState {
    const cipher = new CipherState(this.#sealing, key.slice(0, KEY_BYTES));
    this.#sealing.wipe(key);
    return cipher;
  }
}

export interface NoiseOptions {
  readonly pattern: NoisePattern;
  readonly initiator: boolean;
  readonly prologue: Uint8Array;
  readonly staticKey: KeyPair;
  /** Our ephemeral key, when it was made (and perhaps announced) before; taken over and wiped at the end. */
  readonly ephemeralKey?: KeyPair;
  /** One of 32 bytes for each `psk` of the pattern, in order; taken over. */
  readonly presharedKeys?: readonly Uint8Array[];
  /** For vectors of other suites. */
  readonly suite?: string;
}

/** One end of a handshake. Messages alternate, the initiator's is first; after the last one call `split`. */
export class HandshakeState {
  readonly #sealing: Sealing;
  readonly #options: NoiseOptions;
  readonly #symmetric: SymmetricState;
  readonly #ephemeral: KeyPair;
  readonly #presharedKeys: Uint8Array[];
  readonly #usesPsk: boolean;
  #remoteEphemeral: Uint8Array | undefined;
  #remoteStatic: Uint8Array | undefined;
  #next = 0;

  constructor(sealing: Sealing, options: NoiseOptions) {
    this.#sealing = sealing;
    this.#options = options;
    this.#ephemeral = options.ephemeralKey ?? sealing.keyPair();
    this.#presharedKeys = [...(options.presharedKeys ?? [])];
    this.#usesPsk = this.#presharedKeys.length > 0;
    this.#symmetric = new SymmetricState(sealing, `Noise_${options.pattern.name}_${options.suite ?? SUITE}`);
    this.#symmetric.mixHash(options.prologue);
  }
  get remoteEphemeral(): Uint8Array | undefined {
    return this.#remoteEphemeral;
  }
  /** The key the other end proved to hold, once its message with `s` and the DH behind it were read. */
  get remoteStatic(): Uint8Array | undefined {
    return this.#remoteStatic;
  }
  get handshakeHash(): Uint8Array {
    return this.#symmetric.hash;
  }
  get isComplete(): boolean {
    return this.#next === this.#options.pattern.messages.length;
  }

  /** undefined: the other end's key is of low order. */
  write(payload: Uint8Array): Uint8Array | undefined {
    const parts: Uint8Array[] = [];
    for (const token of this.#tokens(this.#options.initiator)) {
      if (token === "e") {
        parts.push(this.#ephemeral.publicKey);
        this.#mixEphemeral(this.#ephemeral.publicKey);
      } else if (token === "s") parts.push(this.#symmetric.encryptAndHash(this.#options.staticKey.publicKey));
      else if (!this.#mix(token)) return undefined;
    }
    parts.push(this.#symmetric.encryptAndHash(payload));
    return concat(...parts);
  }

  /** The payload; undefined: not made by somebody with the right keys, or a key of low order. The handshake is over then. */
  read(message: Uint8Array): Uint8Array | undefined {
    let at = 0;
    const take = (length: number): Uint8Array | undefined => {
      at += length;
      return at <= message.length ? message.slice(at - length, at) : undefined;
    };
    for (const token of this.#tokens(!this.#options.initiator)) {
      if (token === "e") {
        this.#remoteEphemeral = take(KEY_BYTES);
        if (!this.#remoteEphemeral) return undefined;
        this.#mixEphemeral(this.#remoteEphemeral);
      } else if (token === "s") {
        const sealed = take(KEY_BYTES + (this.#symmetric.hasKey ? TAG_BYTES : 0));
        this.#remoteStatic = sealed && this.#symmetric.decryptAndHash(sealed);
        if (!this.#remoteStatic) return undefined;
      } else if (!this.#mix(token)) return undefined;
    }
    return this.#symmetric.decryptAndHash(message.subarray(at));
  }

  /** What we send with, what we receive with, and a key for whatever else both ends want to derive: 64 bytes, independent of the others. */
  split(): { readonly send: CipherState; readonly receive: CipherState; readonly exporterKey: Uint8Array } {
    invariant(this.isComplete, "the handshake has messages left");
    const [first, second, exporterKey] = this.#symmetric.split();
    this.wipe();
    return this.#options.initiator
      ? { send: first, receive: second, exporterKey }
      : { send: second, receive: first, exporterKey };
  }
  wipe(): void {
    this.#symmetric.wipe();
    this.#sealing.wipe(this.#ephemeral.secretKey);
    for (const key of this.#presharedKeys) this.#sealing.wipe(key);
  }

  #tokens(fromInitiator: boolean): readonly NoiseToken[] {
    const tokens = this.#options.pattern.messages[this.#next];
    invariant(tokens !== undefined && (this.#next % 2 === 0) === fromInitiator, "a handshake message out of turn");
    this.#next++;
    return tokens;
  }
  #mixEphemeral(publicKey: Uint8Array): void {
    this.#symmetric.mixHash(publicKey);
    if (this.#usesPsk) this.#symmetric.mixKey(publicKey); // section 9.2
  }
  #mix(token: Exclude<NoiseToken, "e" | "s">): boolean {
    if (token === "psk") {
      const key = this.#presharedKeys.shift();
      invariant(key?.length === KEY_BYTES, "a preshared key of 32 bytes for every psk of the pattern");
      this.#symmetric.mixKeyAndHash(key);
      this.#sealing.wipe(key);
      return true;
    }
    // The first letter is the initiator's key, the second the responder's.
    const ours = this.#options.initiator ? token[0] : token[1];
    const theirs = this.#options.initiator ? token[1] : token[0];
    const remote = theirs === "e" ? this.#remoteEphemeral : this.#remoteStatic;
    invariant(remote !== undefined, `the pattern has ${token} before the key it needs`);
    const secretKey = ours === "e" ? this.#ephemeral.secretKey : this.#options.staticKey.secretKey;
    const shared = this.#sealing.sharedSecret(secretKey, remote);
    if (!shared) return false;
    this.#symmetric.mixKey(shared);
    this.#sealing.wipe(shared);
    return true;
  }
}
