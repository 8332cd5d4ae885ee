// SPDX-License-Identifier: Apache-2.0
// The packet cipher by OpenSSL: for a packet of 1400 bytes it needs little more than half the time of libsodium, though it takes five calls.
import type { Pointer } from "bun:ffi";
import { Arena, addressIn, type Block } from "../ffi.ts";
import { AEAD_KEY_BYTES, AEAD_NONCE_BYTES, AEAD_TAG_BYTES, type AeadName, type PacketCipher } from "../packet-cipher.ts";
import { libcrypto } from "./symbols.ts";

/** openssl/evp.h */
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const SEAL = 1;
const OPEN = 0;
/** openssl/crypto.h: what the host's openssl.cnf tells other programs is not for us. */
const OPENSSL_INIT_NO_LOAD_CONFIG = 0x80;

export class CipherMissingError extends Error {
  override readonly name = "CipherMissingError";
}

export class LibcryptoCipher implements PacketCipher {
  readonly #symbols = libcrypto().symbols;
  readonly #nonce = Arena.allocate(AEAD_NONCE_BYTES);
  readonly #nonceAt = addressIn(this.#nonce, 0);
  /** Takes lengths that are known. */
  readonly #length = Arena.allocate(4);
  readonly #lengthAt = addressIn(this.#length, 0);
  /** EVP_CIPHER_CTX *, null once disposed. */
  #context: Pointer | null;

  /** Copies the key. @throws {RangeError} not 32 bytes  @throws {MissingLibraryError}  @throws {CipherMissingError} */
  constructor(name: AeadName, key: Uint8Array) {
    if (key.length !== AEAD_KEY_BYTES) throw new RangeError(`a packet key has ${AEAD_KEY_BYTES} bytes, not ${key.length}`);
    const symbols = this.#symbols;
    symbols.OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, null); // once; does nothing later
    const copy = Arena.allocate(AEAD_KEY_BYTES);
    copy.bytes.set(key);
    this.#context = symbols.EVP_CIPHER_CTX_new() as Pointer | null;
    const cipher = name === "aes256gcm" ? symbols.EVP_aes_256_gcm() : symbols.EVP_chacha20_poly1305();
    const isMade =
      this.#context !== null &&
      symbols.EVP_CipherInit_ex(this.#context, cipher, null, addressIn(copy, 0), this.#nonceAt, SEAL) === 1;
    symbols.OPENSSL_cleanse(addressIn(copy, 0), AEAD_KEY_BYTES);
    if (isMade) return;
    this[Symbol.dispose]();
    throw new CipherMissingError(`libcrypto does not offer ${name}`);
  }
  [Symbol.dispose](): void {
    this.#symbols.EVP_CIPHER_CTX_free(this.#context); // which wipes the key
    this.#context = null;
  }

  setCounter(high: number, low: number): void {
    this.#nonce.view.setUint32(4, high);
    this.#nonce.view.setUint32(8, low);
  }
  /** @throws {Error} the library failed: nothing may be sent of what is there now */
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void {
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } = this.#symbols;
    const context = this.#handle();
    const sealed = intoAt + associatedBytes;
    const tag = addressIn(into, sealed + length);
    const isDone =
      EVP_CipherInit_ex(context, null, null, null, this.#nonceAt, SEAL) === 1 &&
      EVP_CipherUpdate(context, null, this.#lengthAt, addressIn(into, intoAt), associatedBytes) === 1 &&
      EVP_CipherUpdate(context, addressIn(into, sealed), this.#lengthAt, addressIn(from, fromAt), length) === 1 &&
      EVP_CipherFinal_ex(context, tag, this.#lengthAt) === 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, tag) === 1;
    if (!isDone) throw new Error("libcrypto could not seal a packet");
  }
  open(block: Block, at: number, associatedBytes: number, length: number): boolean {
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } = this.#symbols;
    const context = this.#handle();
    const textBytes = length - AEAD_TAG_BYTES;
    if (textBytes < 0) return false;
    const text = addressIn(block, at + associatedBytes);
    const tag = addressIn(block, at + associatedBytes + textBytes);
    const isAuthentic =
      EVP_CipherInit_ex(context, null, null, null, this.#nonceAt, OPEN) === 1 &&
      EVP_CipherUpdate(context, null, this.#lengthAt, addressIn(block, at), associatedBytes) === 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) === 1 &&
      EVP_CipherUpdate(context, text, this.#lengthAt, text, textBytes) === 1 &&
      EVP_CipherFinal_ex(context, tag, this.#lengthAt) === 1;
    // It decrypts before it knows, and what is not authentic is nobody's business.
    if (!isAuthentic) this.#symbols.OPENSSL_cleanse(text, textBytes);
    return isAuthentic;
  }

  #handle(): Pointer {
    if (this.#context === null) throw new TypeError("the packet cipher is closed");
    return this.#context;
  }
}
