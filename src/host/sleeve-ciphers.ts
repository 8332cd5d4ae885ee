// SPDX-License-Identifier: Apache-2.0
// Which ciphers the sleeve offers, and which library seals with them. On the wire they are the same, so each end chooses for itself and
// for each packet.
import { allocate, type Block, type Bytes, MissingLibraryError } from "../../native/ffi.ts";
import { CipherMissingError, LibcryptoCipher } from "../../native/libcrypto/packet-cipher.ts";
import { libcrypto } from "../../native/libcrypto/symbols.ts";
import { hasAes256Gcm } from "../../native/libsodium/aead.ts";
import { wipe } from "../../native/libsodium/memory.ts";
import { SodiumCipher } from "../../native/libsodium/packet-cipher.ts";
import { AEAD_KEY_BYTES, type AeadName, type PacketCipher } from "../../native/packet-cipher.ts";
import type { SleeveCipher } from "../overlay/carriers.ts";

/** From here on OpenSSL is quicker. A short packet that comes alone, as a ping does, finds nothing of its longer way in the caches. */
const LONG_BYTES = 512;

/** Best first. */
export function sleeveCiphers(): SleeveCipher[] {
  return hasAes256Gcm() ? ["aes256gcm", "chacha20poly1305"] : ["chacha20poly1305"];
}

let openssl: "not loaded" | "loaded" | "missing" = "not loaded";

/** From now on OpenSSL seals what is long, if it is installed. Takes 3 to 10 ms once, which a neighbour that has just come back should not
 *  wait for. */
export function loadOpenssl(): void {
  if (openssl !== "not loaded") return;
  try {
    libcrypto();
    openssl = "loaded";
  } catch (thrown) {
    if (!(thrown instanceof MissingLibraryError)) throw thrown;
    openssl = "missing";
  }
}

/** Seals and opens with whichever library is quicker for a packet. */
export class SleevePacketCipher implements PacketCipher {
  readonly #name: AeadName;
  readonly #short: SodiumCipher;
  #long: LibcryptoCipher | undefined;
  /** Until it has been given to OpenSSL; zeros then. */
  readonly #key: Bytes;
  #high = 0;
  #low = 0;
  #isClosed = false;

  /** Copies the key. @throws {RangeError} not 32 bytes  @throws {TypeError} no such cipher on this CPU */
  constructor(name: AeadName, key: Uint8Array) {
    this.#name = name;
    this.#short = new SodiumCipher(name, key);
    this.#key = allocate(AEAD_KEY_BYTES);
    this.#key.set(key);
  }
  [Symbol.dispose](): void {
    this.#isClosed = true;
    wipe(this.#key);
    this.#short[Symbol.dispose]();
    this.#long?.[Symbol.dispose]();
  }

  setCounter(high: number, low: number): void {
    this.#high = high;
    this.#low = low;
  }
  seal(from: Block, fromAt: number, length: number, into: Block, intoAt: number, associatedBytes: number): void {
    this.#readyFor(length).seal(from, fromAt, length, into, intoAt, associatedBytes);
  }
  open(block: Block, at: number, associatedBytes: number, length: number): boolean {
    return this.#readyFor(length).open(block, at, associatedBytes, length);
  }

  /** With the counter of this packet in it, whichever it is. @throws {TypeError} closed: the key would be zeros */
  #readyFor(length: number): PacketCipher {
    if (this.#isClosed) throw new TypeError("the packet cipher is closed");
    const cipher = length < LONG_BYTES || openssl !== "loaded" ? this.#short : (this.#long ?? this.#makeLong());
    cipher.setCounter(this.#high, this.#low);
    return cipher;
  }
  #makeLong(): PacketCipher {
    try {
      this.#long = new LibcryptoCipher(this.#name, this.#key);
    } catch (thrown) {
      if (!(thrown instanceof CipherMissingError)) throw thrown;
      openssl = "missing"; // as in one built without it: libsodium has both
      return this.#short;
    }
    wipe(this.#key);
    return this.#long;
  }
}
