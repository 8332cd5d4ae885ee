// SPDX-License-Identifier: Apache-2.0
// OpenSSL's calls with their prototypes (openssl/evp.h, openssl/crypto.h). Only the third version has this soname.
import { lazyLibrary } from "../ffi.ts";

export const libcrypto = lazyLibrary({
  sonames: ["libcrypto.so.3"],
  packages: { deb: "libssl3", rpm: "openssl-libs" },
  symbols: {
    OPENSSL_init_crypto: { args: ["u64", "ptr"], returns: "i32" }, // int OPENSSL_init_crypto(uint64_t, const OPENSSL_INIT_SETTINGS *)
    OPENSSL_cleanse: { args: ["ptr", "usize"], returns: "void" }, // void OPENSSL_cleanse(void *, size_t)
    EVP_aes_256_gcm: { args: [], returns: "ptr" }, // const EVP_CIPHER *EVP_aes_256_gcm(void)
    EVP_chacha20_poly1305: { args: [], returns: "ptr" }, // const EVP_CIPHER *EVP_chacha20_poly1305(void)
    EVP_CIPHER_CTX_new: { args: [], returns: "ptr" }, // EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void)
    EVP_CIPHER_CTX_free: { args: ["ptr"], returns: "void" }, // void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *)
    EVP_CIPHER_CTX_ctrl: { args: ["ptr", "i32", "i32", "ptr"], returns: "i32" }, // int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int type, int arg, void *)
    // int EVP_CipherInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *key, const unsigned char *iv, int enc)
    EVP_CipherInit_ex: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "i32"], returns: "i32" },
    // int EVP_CipherUpdate(EVP_CIPHER_CTX *, unsigned char *out, int *outl, const unsigned char *in, int inl)
    EVP_CipherUpdate: { args: ["ptr", "ptr", "ptr", "ptr", "i32"], returns: "i32" },
    EVP_CipherFinal_ex: { args: ["ptr", "ptr", "ptr"], returns: "i32" }, // int EVP_CipherFinal_ex(EVP_CIPHER_CTX *, unsigned char *out, int *outl)
  },
});
