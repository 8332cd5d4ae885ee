// SPDX-License-Identifier: Apache-2.0
// Passwords as the handshake takes them: bytes, few, none of them useless.
import { PASSWORDS_MAX } from "../mesh/secure/preamble.ts";
import { utf8 } from "../mesh/secure/sealing.ts";
import { UserError } from "../runtime/errors.ts";

const PASSWORD_BYTES_MAX = 1024;

/** Equal passwords typed on different machines are equal bytes. @throws {UserError} */
export function passwordBytes(passwords: readonly string[]): Uint8Array[] {
  const distinct = [...new Set(passwords.map((password) => password.normalize("NFC")))];
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
