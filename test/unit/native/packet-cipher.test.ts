// SPDX-License-Identifier: Apache-2.0
// Sealing in place: published vectors whose nonces begin with four zero bytes, and two other implementations.
import { describe, expect, test } from "bun:test";
import { createCipheriv } from "node:crypto";
import { Arena, MissingLibraryError } from "../../../native/ffi.ts";
import { LibcryptoCipher } from "../../../native/libcrypto/packet-cipher.ts";
import { libcrypto } from "../../../native/libcrypto/symbols.ts";
import { chachaSeal, hasAes256Gcm } from "../../../native/libsodium/aead.ts";
import { SodiumCipher } from "../../../native/libsodium/packet-cipher.ts";
import { AEAD_KEY_BYTES, AEAD_TAG_BYTES, type AeadName } from "../../../native/packet-cipher.ts";

const LIBRARIES = [
  { library: "libsodium", PacketCipher: SodiumCipher, isMissing: false },
  { library: "libcrypto", PacketCipher: LibcryptoCipher, isMissing: !isThere(libcrypto) },
] as const;
const NAMES: readonly AeadName[] = hasAes256Gcm() ? ["aes256gcm", "chacha20poly1305"] : ["chacha20poly1305"];
const hex = (text: string) => Uint8Array.fromHex(text.replace(/\s/g, ""));

function isThere(load: () => unknown): boolean {
  try {
    return load() !== undefined;
  } catch (thrown) {
    if (thrown instanceof MissingLibraryError) return false;
    throw thrown;
  }
}
/** Ciphertext and tag. */
function sealedBy(
  PacketCipher: (typeof LIBRARIES)[number]["PacketCipher"],
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  using cipher = new PacketCipher(name, key);
  const memory = Arena.allocate(associated.length + plain.length + AEAD_TAG_BYTES);
  memory.bytes.set(associated);
  memory.bytes.set(plain, associated.length);
  const view = new DataView(nonce.buffer);
  cipher.setCounter(view.getUint32(4), view.getUint32(8));
  cipher.seal(memory, associated.length, plain.length, memory, 0, associated.length);
  return memory.bytes.slice(associated.length);
}

describe.each(LIBRARIES)("packet cipher of $library", ({ PacketCipher, isMissing }) => {
  const sealed = sealedBy.bind(undefined, PacketCipher);
  if (isMissing) {
    test.skip("is not installed", () => {});
    return;
  }

  test.skipIf(!hasAes256Gcm())("AES-256-GCM: test cases 13 and 14 of the GCM specification (McGrew and Viega)", () => {
    const zeros = new Uint8Array(32);
    const nonce = new Uint8Array(12);
    expect(sealed("aes256gcm", zeros, nonce, new Uint8Array(0), new Uint8Array(0)).toHex()).toBe(
      "530f8afbc74536b9a963b4f1c4cb738b",
    );
    expect(sealed("aes256gcm", zeros, nonce, new Uint8Array(0), new Uint8Array(16)).toHex()).toBe(
      "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    );
  });

  test.skipIf(!hasAes256Gcm())("AES-256-GCM: the same as another implementation, of every length", () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => i * 7);
    const associated = hex("000010000000000100000002");
    for (let length = 0; length < 200; length += 3) {
      const nonce = new Uint8Array(12);
      new DataView(nonce.buffer).setUint32(8, length + 1);
      const plain = Uint8Array.from({ length }, (_, i) => i);
      const other = createCipheriv("aes-256-gcm", key, nonce);
      other.setAAD(associated);
      const expected = Buffer.concat([other.update(plain), other.final(), other.getAuthTag()]);
      expect(sealed("aes256gcm", key, nonce, associated, plain).toHex()).toBe(expected.toString("hex"));
    }
  });

  test("ChaCha20-Poly1305: RFC 8439 appendix A.5, its first blocks and associated data", () => {
    const key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    const nonce = hex("000000000102030405060708");
    const plain = new TextEncoder().encode("Internet-Drafts are draft documents valid for a maximum of six m");
    const text = sealed("chacha20poly1305", key, nonce, hex("f33388860000000000004e91"), plain);
    expect(text.subarray(0, 64).toHex()).toBe(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf",
    );
    expect(text).toEqual(chachaSeal(key, nonce, hex("f33388860000000000004e91"), plain));
  });

  for (const name of NAMES) {
    test(`${name}: opens what it sealed, from one block into another too, and nothing else`, () => {
      const key = new Uint8Array(AEAD_KEY_BYTES).fill(9);
      using cipher = new PacketCipher(name, key);
      const from = Arena.allocate(2_000);
      const into = Arena.allocate(2_000);
      for (let i = 0; i < 1_400; i++) from.bytes[100 + i] = i;
      into.bytes.set(hex("0a0b0c0d00000000000000ff"), 64);
      cipher.setCounter(1, 255);
      cipher.seal(from, 100, 1_400, into, 64, 12);
      const text = into.bytes.slice();
      cipher.setCounter(1, 255);
      expect(cipher.open(into, 64, 12, 1_416)).toBe(true);
      expect(into.bytes.slice(76, 76 + 1_400)).toEqual(from.bytes.slice(100, 1_500));
      for (const [change, counter] of [
        [64, 255], // associated data
        [76, 255],
        [76 + 1_400, 255], // tag
        [-1, 254],
      ] as const) {
        into.bytes.set(text);
        if (change >= 0) into.bytes[change]! ^= 1;
        cipher.setCounter(1, counter);
        expect(cipher.open(into, 64, 12, 1_416)).toBe(false);
        // Nobody gets to see what it would have been.
        expect([text[80], 0]).toContain(into.bytes[80]);
      }
      expect(cipher.open(into, 64, 12, 15)).toBe(false);
    });
  }

  test("a key of another length is refused", () => {
    expect(() => new PacketCipher("chacha20poly1305", new Uint8Array(31))).toThrow(RangeError);
  });
});
