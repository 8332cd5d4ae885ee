// SPDX-License-Identifier: Apache-2.0
// Which ciphers the sleeve offers, and which library seals with them. On the wire they are the same, so each end chooses for itself and
// for each packet.
import { type Block, MissingLibraryError } from "../../native/ffi.ts";
import { LibcryptoCipher } from "../../native/libcrypto/packet-cipher.ts";
import { hasAes256Gcm } from "../../native/libsodium/aead.ts";
import { SodiumCipher } from "../../native/libsodium/packet-cipher.ts";
import type { AeadName, PacketCipher } from "../../native/packet-cipher.ts";
import type { SleeveCipher } from "../overlay/carriers.ts";

/** From here on OpenSSL is quicker. A short packet that comes alone, as a ping does, finds nothing of its longer way in the caches. */
const LONG_BYTES = 512;

/** Best first. */
export function sleeveCiphers(): SleeveCipher[] {
  return hasAes256Gcm() ? ["aes256gcm", "chacha20poly1305"] : ["chacha20poly1305"];
}

/** Copies the key. @throws {RangeError} not 32 bytes  @throws {TypeError} no such cipher on this CPU */
export function packetCipher(name: AeadName, key: Uint8Array): PacketCipher {
  const short = new SodiumCipher(name, key);
  const long = libcryptoCipher(name, key);
  return long === undefined ? short : new BothCiphers(short, long);
}

let hasLibcrypto = true; // until it turns out otherwise

function libcryptoCipher(name: AeadName, key: Uint8Array): PacketCipher | undefined {
  if (!hasLibcrypto) return undefined;
  try {
    return new LibcryptoCipher(name, key);
  } catch (thrown) {
    if (!(thrown instanceof MissingLibraryError)) throw thrown;
    hasLibcrypto = false;
    return undefined;
  }
}

/** One key in two libraries. */
class BothCiphers implements PacketCipher {
  readonly #short: PacketCipher;
  readonly #long: PacketCipher;

  constructor(short: PacketCipher, long: PacketCipher) {
    this.#short = short;
    this.#long = long;
  }
  setCounter(high: number, low: number): void {
    this.#short.setCounter(high, low);
    this.#long.setCounter(high, low);
  }
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void {
    const cipher = length < LONG_BYTES ? this.#short : this.#long;
    cipher.seal(from, fromAt, length, into, intoAt, associatedBytes);
  }
  open(block: Block, at: number, associatedBytes: number, length: number): boolean {
    const cipher = length < LONG_BYTES ? this.#short : this.#long;
    return cipher.open(block, at, associatedBytes, length);
  }
  [Symbol.dispose](): void {
    this.#short[Symbol.dispose]();
    this.#long[Symbol.dispose]();
  }
}
