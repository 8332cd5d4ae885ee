// SPDX-License-Identifier: Apache-2.0
// libsodium's calls with their prototypes (sodium.h). 1.0.18 (.so.23) has all of them; .so.26 is 1.0.20 and later.
import { lazyLibrary, type Symbols } from "../ffi.ts";

const PROTOTYPES = {
  sodium_init: { args: [], returns: "i32" }, // int sodium_init(void)
  sodium_memzero: { args: ["ptr", "u64"], returns: "void" }, // void sodium_memzero(void *, size_t)
  sodium_memcmp: { args: ["ptr", "ptr", "u64"], returns: "i32" }, // int sodium_memcmp(const void *, const void *, size_t)
  randombytes_buf: { args: ["ptr", "u64"], returns: "void" }, // void randombytes_buf(void *, size_t)
  crypto_scalarmult: { args: ["ptr", "ptr", "ptr"], returns: "i32" }, // int crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
  crypto_scalarmult_base: { args: ["ptr", "ptr"], returns: "i32" }, // int crypto_scalarmult_base(unsigned char *q, const unsigned char *n)
  crypto_generichash: { args: ["ptr", "u64", "ptr", "u64", "ptr", "u64"], returns: "i32" }, // int crypto_generichash(unsigned char *out, size_t, const unsigned char *in, unsigned long long, const unsigned char *key, size_t)
  crypto_hash_sha512: { args: ["ptr", "ptr", "u64"], returns: "i32" }, // int crypto_hash_sha512(unsigned char *out, const unsigned char *in, unsigned long long)
  // int crypto_aead_chacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen, const unsigned char *m, unsigned long long mlen,
  //     const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub, const unsigned char *k)
  crypto_aead_chacha20poly1305_ietf_encrypt: {
    args: ["ptr", "ptr", "ptr", "u64", "ptr", "u64", "ptr", "ptr", "ptr"],
    returns: "i32",
  },
  // int crypto_aead_chacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen, unsigned char *nsec, const unsigned char *c,
  //     unsigned long long clen, const unsigned char *ad, unsigned long long adlen, const unsigned char *npub, const unsigned char *k)
  crypto_aead_chacha20poly1305_ietf_decrypt: {
    args: ["ptr", "ptr", "ptr", "ptr", "u64", "ptr", "u64", "ptr", "ptr"],
    returns: "i32",
  },
  crypto_aead_aes256gcm_is_available: { args: [], returns: "i32" }, // int crypto_aead_aes256gcm_is_available(void)
  crypto_aead_aes256gcm_beforenm: { args: ["ptr", "ptr"], returns: "i32" }, // int …(crypto_aead_aes256gcm_state *, const unsigned char *k)
  // as crypto_aead_chacha20poly1305_ietf_encrypt, with const crypto_aead_aes256gcm_state * instead of the key
  crypto_aead_aes256gcm_encrypt_afternm: {
    args: ["ptr", "ptr", "ptr", "usize", "ptr", "usize", "ptr", "ptr", "ptr"],
    returns: "i32",
  },
  // as crypto_aead_chacha20poly1305_ietf_decrypt, likewise
  crypto_aead_aes256gcm_decrypt_afternm: {
    args: ["ptr", "ptr", "ptr", "ptr", "usize", "ptr", "usize", "ptr", "ptr"],
    returns: "i32",
  },
  crypto_core_ristretto255_is_valid_point: { args: ["ptr"], returns: "i32" }, // int …(const unsigned char *p)
  crypto_core_ristretto255_from_hash: { args: ["ptr", "ptr"], returns: "i32" }, // int …(unsigned char *p, const unsigned char *r)
  crypto_core_ristretto255_scalar_random: { args: ["ptr"], returns: "void" }, // void …(unsigned char *r)
  crypto_scalarmult_ristretto255: { args: ["ptr", "ptr", "ptr"], returns: "i32" }, // int …(unsigned char *q, const unsigned char *n, const unsigned char *p)
} as const;

/** Not initialised: see `sodium`. */
export const libsodium = lazyLibrary({
  sonames: ["libsodium.so.26", "libsodium.so.23"],
  packages: { deb: "libsodium23", rpm: "libsodium (on RHEL from EPEL)" },
  symbols: PROTOTYPES,
});

let ready: Symbols<typeof PROTOTYPES> | undefined;

/** The initialised library. @throws {MissingLibraryError} not installed @throws {Error} no source of random numbers */
export function sodium(): Symbols<typeof PROTOTYPES> {
  if (ready) return ready;
  const { symbols } = libsodium();
  if (symbols.sodium_init() < 0) throw new Error("sodium_init failed: the kernel gives no random numbers");
  ready = symbols;
  return symbols;
}
