// SPDX-License-Identifier: Apache-2.0
// libsodium as the secure channel's primitives.
import { chachaOpen, chachaSeal } from "../../native/libsodium/aead.ts";
import { blake2b, sha512 } from "../../native/libsodium/hash.ts";
import { equal, randomBytes, wipe } from "../../native/libsodium/memory.ts";
import { elementFromHash, multiply, randomScalar } from "../../native/libsodium/ristretto255.ts";
import { newSecretKey, publicKeyOf, sharedSecret } from "../../native/libsodium/x25519.ts";
import type { Sealing } from "../mesh/secure/sealing.ts";

export const sodiumSealing: Sealing = {
  random: randomBytes,
  keyPair() {
    const secretKey = newSecretKey();
    return { publicKey: publicKeyOf(secretKey), secretKey };
  },
  sharedSecret,
  blake2b: (message) => blake2b(message),
  sha512,
  seal: chachaSeal,
  open: chachaOpen,
  element: elementFromHash,
  scalar: randomScalar,
  multiply,
  equal,
  wipe,
};
