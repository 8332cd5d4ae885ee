// SPDX-License-Identifier: Apache-2.0
// Passwords as the handshake takes them: bytes, few, none of them useless. And how they are named without being shown.
import { blake2b } from "../../native/libsodium/hash.ts";
import { PASSWORDS_MAX } from "../mesh/secure/preamble.ts";
import { concat, utf8 } from "../mesh/secure/sealing.ts";
import { UserError } from "../runtime/errors.ts";

const PASSWORD_BYTES_MAX = 1024;
const FINGERPRINT = utf8("weave password fingerprint");
// 16 bits tell four passwords apart, and leave whoever sees them and guesses offline with one in 65,536 of all words.
const FINGERPRINT_BYTES = 2;

/** Equal passwords typed on different machines are equal texts. */
export function canonicalPassword(password: string): string {
  return password.normalize("NFC");
}

/** Each once, in canonical form, in their order. */
export function distinctPasswords(passwords: readonly string[]): readonly string[] {
  return [...new Set(passwords.map(canonicalPassword))];
}

/** @throws {UserError} too many, or one of no use */
export function passwordBytes(passwords: readonly string[]): Uint8Array[] {
  const distinct = distinctPasswords(passwords);
  if (distinct.length > PASSWORDS_MAX) {
    const hint = "remove those that no peer uses any more";
    throw new UserError(
      "bad-request",
      `${distinct.length} passwords are too many: at most ${PASSWORDS_MAX} can be valid at once`,
      hint,
    );
  }
  return distinct.map((password) => {
    const bytes = utf8(password);
    if (bytes.length === 0)
      throw new UserError("bad-request", "an empty password protects nothing", "leave it out or choose one");
    if (bytes.length > PASSWORD_BYTES_MAX) {
      throw new UserError("bad-request", `a password has at most ${PASSWORD_BYTES_MAX} bytes`, "choose a shorter one");
    }
    return bytes;
  });
}

/** Four hex digits, equal on all hosts; to see which of a few passwords a host holds, not to prove anything. */
export function passwordFingerprint(password: string): string {
  const digest = blake2b(concat(FINGERPRINT, utf8(canonicalPassword(password))));
  return digest.slice(0, FINGERPRINT_BYTES).toHex();
}
