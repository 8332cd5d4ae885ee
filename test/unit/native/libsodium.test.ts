// SPDX-License-Identifier: Apache-2.0
// The binding of libsodium: sizes against what the library says of itself, results against the RFCs.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { loadLibrary } from "../../../native/ffi.ts";
import {
  CHACHA_KEY_BYTES,
  CHACHA_NONCE_BYTES,
  CHACHA_TAG_BYTES,
  chachaOpen,
  chachaSeal,
  hasAes256Gcm,
} from "../../../native/libsodium/aead.ts";
import { BLAKE2B_MAX_BYTES, blake2b, SHA512_BYTES, sha512 } from "../../../native/libsodium/hash.ts";
import { equal, randomBytes, wipe } from "../../../native/libsodium/memory.ts";
import {
  elementFromHash,
  isElement,
  multiply,
  RISTRETTO_BYTES,
  RISTRETTO_HASH_BYTES,
  randomScalar,
} from "../../../native/libsodium/ristretto255.ts";
import { newSecretKey, publicKeyOf, sharedSecret, X25519_BYTES } from "../../../native/libsodium/x25519.ts";

const hex = (text: string) => Uint8Array.fromHex(text.replace(/\s/g, ""));
const utf8 = (text: string) => new TextEncoder().encode(text);

const size = { args: [], returns: "u64" } as const; // size_t …(void)
const { symbols: sizes } = loadLibrary({
  sonames: ["libsodium.so.26", "libsodium.so.23"],
  packages: { deb: "libsodium23", rpm: "libsodium" },
  symbols: {
    crypto_scalarmult_bytes: size,
    crypto_aead_chacha20poly1305_ietf_keybytes: size,
    crypto_aead_chacha20poly1305_ietf_npubbytes: size,
    crypto_aead_chacha20poly1305_ietf_abytes: size,
    crypto_generichash_bytes_max: size,
    crypto_hash_sha512_bytes: size,
    crypto_core_ristretto255_bytes: size,
    crypto_core_ristretto255_scalarbytes: size,
    crypto_core_ristretto255_hashbytes: size,
  },
});

describe("libsodium", () => {
  test("our sizes are the library's", () => {
    expect(Object.values(sizes).map((call) => Number(call()))).toEqual([
      X25519_BYTES,
      CHACHA_KEY_BYTES,
      CHACHA_NONCE_BYTES,
      CHACHA_TAG_BYTES,
      BLAKE2B_MAX_BYTES,
      SHA512_BYTES,
      RISTRETTO_BYTES,
      RISTRETTO_BYTES,
      RISTRETTO_HASH_BYTES,
    ]);
  });

  test("X25519 gives the shared secret of RFC 7748 section 6.1", () => {
    const secretOfAlice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const secretOfBob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const [a, b] = [publicKeyOf(secretOfAlice), publicKeyOf(secretOfBob)];
    expect(a.toHex()).toBe("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    expect(b.toHex()).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    const shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect([sharedSecret(secretOfAlice, b)?.toHex(), sharedSecret(secretOfBob, a)?.toHex()]).toEqual([shared, shared]);
  });

  test("a public key of low order gives no secret", () => {
    const secret = newSecretKey();
    for (const point of ["00", "01"]) expect(sharedSecret(secret, hex(point.padEnd(64, "0")))).toBeUndefined();
    expect(sharedSecret(secret, hex(`ec${"ff".repeat(30)}7f`))).toBeUndefined();
  });

  test("ChaCha20-Poly1305 gives the ciphertext of RFC 8439 section 2.8.2", () => {
    const key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    const nonce = hex("070000004041424344454647");
    const associated = hex("50515253c0c1c2c3c4c5c6c7");
    const words =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    const sealed = chachaSeal(key, nonce, associated, utf8(words));
    expect(sealed.toHex()).toBe(
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    expect(chachaOpen(key, nonce, associated, sealed)).toEqual(utf8(words) as never);
    for (const at of [0, 60, sealed.length - 1]) {
      const changed = sealed.slice();
      changed[at]! ^= 1;
      expect(chachaOpen(key, nonce, associated, changed)).toBeUndefined();
    }
    expect(chachaOpen(key, nonce, new Uint8Array(0), sealed)).toBeUndefined();
    expect(chachaOpen(key, nonce, associated, new Uint8Array(15))).toBeUndefined();
  });

  test("nothing at all can be sealed, and room is left in front", () => {
    const [key, nonce, nothing] = [randomBytes(32), randomBytes(12), new Uint8Array(0)];
    const sealed = chachaSeal(key, nonce, nothing, nothing, 5);
    expect(sealed.length).toBe(5 + 16);
    expect(sealed.subarray(0, 5)).toEqual(new Uint8Array(5) as never);
    expect(chachaOpen(key, nonce, nothing, sealed.subarray(5))?.length).toBe(0);
  });

  test("hashes are those of RFC 7693 and FIPS 180", () => {
    expect(blake2b(utf8("abc")).toHex()).toBe(
      "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    );
    expect(blake2b(new Uint8Array(0), 32).toHex()).toBe("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    expect(sha512(utf8("abc")).toHex()).toBe(
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    );
    expect(() => blake2b(utf8("abc"), 65)).toThrow(RangeError);
  });

  test("ristretto255 multiplies, and refuses what is no element", () => {
    const element = elementFromHash(randomBytes(64));
    const [a, b] = [randomScalar(), randomScalar()];
    const [ab, ba] = [multiply(a, multiply(b, element)!), multiply(b, multiply(a, element)!)];
    expect(ab?.toHex()).toBe(ba!.toHex());
    expect(isElement(element)).toBe(true);
    const identity = new Uint8Array(32);
    expect([isElement(identity), multiply(a, identity)]).toEqual([true, undefined]);
    for (const bad of [new Uint8Array(32).fill(0xff), new Uint8Array(31), hex(`01${"00".repeat(31)}`)]) {
      expect([isElement(bad), multiply(a, bad)]).toEqual([false, undefined]);
    }
  });

  test("random bytes differ, comparing compares, wiping wipes", () => {
    const [a, b] = [randomBytes(32), randomBytes(32)];
    expect(equal(a, b)).toBe(false);
    expect(equal(a, a.slice())).toBe(true);
    expect(equal(a, a.subarray(1))).toBe(false);
    expect(equal(new Uint8Array(0), randomBytes(0))).toBe(true);
    wipe(a);
    expect(a).toEqual(new Uint8Array(32) as never);
  });

  test("a wrong length never reaches C", () => {
    const [short, right] = [new Uint8Array(31), randomBytes(32)];
    expect(() => publicKeyOf(short)).toThrow(RangeError);
    expect(() => sharedSecret(right, short)).toThrow(RangeError);
    expect(() => elementFromHash(right)).toThrow(RangeError);
    expect(() => multiply(short, right)).toThrow(RangeError);
    expect(() => chachaSeal(short, randomBytes(12), right, right)).toThrow(RangeError);
    expect(() => chachaOpen(right, randomBytes(11), right, right)).toThrow(RangeError);
  });

  test("whether this machine has AES-256-GCM can be asked", () => {
    const flags = /^flags\s*:.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "";
    if (process.arch === "x64") expect(hasAes256Gcm()).toBe(/\baes\b/.test(flags) && /\bpclmulqdq\b/.test(flags));
    else expect(hasAes256Gcm()).toBeBoolean();
  });
});
