// SPDX-License-Identifier: Apache-2.0
// Sealing and opening many packets where they lie, without a copy or an object for any of them: AES-256-GCM (NIST SP 800-38D) where the CPU
// helps, ChaCha20-Poly1305 (RFC 8439) everywhere. Both have keys of 32, nonces of 12 and tags of 16 bytes.
import type { Pointer } from "bun:ffi";
import { Arena, addressIn, type Block } from "../ffi.ts";
import { requireLength, wipe } from "./memory.ts";
import { sodium } from "./symbols.ts";

export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;
/** crypto_aead_aes256gcm_state, which C wants at a multiple of 16; 64 keeps it in whole cache lines. */
const AES_STATE_BYTES = 512;
const AES_ALIGNMENT = 64;

export type AeadName = "aes256gcm" | "chacha20poly1305";

type Symbols = ReturnType<typeof sodium>;

/** One key, ready for use. The nonce is four zero bytes and a counter of eight bytes, big-endian, kept here: set it before each call. */
export class PacketCipher implements Disposable {
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
  /** Forgets the key. */
  [Symbol.dispose](): void {
    wipe(this.#state.bytes);
  }

  /** `high` and `low` are 32 bits each. */
  setCounter(high: number, low: number): void {
    this.#nonce.view.setUint32(4, high);
    this.#nonce.view.setUint32(8, low);
  }
  /** Seals `length` bytes at `fromAt`. `intoAt` holds the associated data; sealed bytes and tag go behind it, perhaps over the original. */
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void {
    const text = addressIn(from, fromAt);
    const associated = addressIn(into, intoAt);
    const sealed = addressIn(into, intoAt + associatedBytes);
    this.#encrypt(sealed, null, text, length, associated, associatedBytes, null, this.#nonceAt, this.#stateAt);
  }
  /** Opens, in place, `length` bytes and tag behind the associated data at `at`. False: they are not what was sealed; they are zeros now, or
   *  as they were. */
  open(block: Block, at: number, associatedBytes: number, length: number): boolean {
    if (length < AEAD_TAG_BYTES) return false;
    const text = addressIn(block, at + associatedBytes);
    const associated = addressIn(block, at);
    return this.#decrypt(text, null, null, text, length, associated, associatedBytes, this.#nonceAt, this.#stateAt) === 0;
  }
}
