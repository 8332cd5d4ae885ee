// SPDX-License-Identifier: Apache-2.0
// The packet cipher by libsodium, which every host has: AES-256-GCM where the CPU helps, ChaCha20-Poly1305 everywhere.
import type { Pointer } from "bun:ffi";
import { Arena, addressIn, type Block } from "../ffi.ts";
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES, type AeadName, type PacketCipher } from "../packet-cipher.ts";
import { requireLength, wipe } from "./memory.ts";
import { sodium } from "./symbols.ts";

/** crypto_aead_aes256gcm_state, which C wants at a multiple of 16; 64 keeps it in whole cache lines. */
const AES_STATE_BYTES = 512;
const AES_ALIGNMENT = 64;

type Symbols = ReturnType<typeof sodium>;

export class SodiumCipher implements PacketCipher {
  readonly #encrypt: Symbols["crypto_aead_chacha20poly1305_ietf_encrypt"];
  readonly #decrypt: Symbols["crypto_aead_chacha20poly1305_ietf_decrypt"];
  /** The key, or what AES made of it. */
  readonly #state: Arena;
  readonly #stateAt: Pointer;
  readonly #nonce = Arena.allocate(AEAD_NONCE_BYTES);
  readonly #nonceAt = addressIn(this.#nonce, 0);

  /** Copies the key. @throws {RangeError} not 32 bytes  @throws {TypeError} no AES-256-GCM on this CPU */
  constructor(name: AeadName, key: Uint8Array) {
    requireLength(key, AEAD_KEY_BYTES, "a packet key");
    const symbols = sodium();
    const isAes = name === "aes256gcm";
    this.#encrypt = symbols[isAes ? "crypto_aead_aes256gcm_encrypt_afternm" : "crypto_aead_chacha20poly1305_ietf_encrypt"];
    this.#decrypt = symbols[isAes ? "crypto_aead_aes256gcm_decrypt_afternm" : "crypto_aead_chacha20poly1305_ietf_decrypt"];
    this.#state = Arena.allocate(isAes ? AES_STATE_BYTES + AES_ALIGNMENT : AEAD_KEY_BYTES);
    const skip = isAes ? (AES_ALIGNMENT - (this.#state.base % AES_ALIGNMENT)) % AES_ALIGNMENT : 0;
    this.#stateAt = addressIn(this.#state, skip);
    if (!isAes) this.#state.bytes.set(key);
    else if (symbols.crypto_aead_aes256gcm_is_available() !== 1) throw new TypeError("this CPU has no AES-256-GCM");
    else {
      const copy = Arena.allocate(AEAD_KEY_BYTES);
      copy.bytes.set(key);
      symbols.crypto_aead_aes256gcm_beforenm(this.#stateAt, addressIn(copy, 0));
      wipe(copy.bytes);
    }
  }
  [Symbol.dispose](): void {
    wipe(this.#state.bytes);
  }

  setCounter(high: number, low: number): void {
    this.#nonce.view.setUint32(4, high);
    this.#nonce.view.setUint32(8, low);
  }
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void {
    const text = addressIn(from, fromAt);
    const associated = addressIn(into, intoAt);
    const sealed = addressIn(into, intoAt + associatedBytes);
    this.#encrypt(sealed, null, text, length, associated, associatedBytes, null, this.#nonceAt, this.#stateAt);
  }
  open(block: Block, at: number, associatedBytes: number, length: number): boolean {
    if (length < AEAD_TAG_BYTES) return false;
    const text = addressIn(block, at + associatedBytes);
    const associated = addressIn(block, at);
    return this.#decrypt(text, null, null, text, length, associated, associatedBytes, this.#nonceAt, this.#stateAt) === 0;
  }
}
