// SPDX-License-Identifier: Apache-2.0
// Passwords that the service manager hands over, systemd.exec(5): LoadCredential=weave.password:/etc/weave/password. They are then neither in a
// file of options nor in an environment. One line each, several while a password is being replaced.
import { join } from "node:path";
import type { Environment } from "./load.ts";
import { readTextFile } from "./text-file.ts";

export const PASSWORD_CREDENTIAL = "weave.password";

/** undefined: there is no such credential. @throws {UserError} it cannot be read */
export function credentialPasswords(env: Environment): readonly string[] | undefined {
  const directory = env["CREDENTIALS_DIRECTORY"];
  if (directory === undefined || !directory.startsWith("/")) return undefined;
  const text = readTextFile(join(directory, PASSWORD_CREDENTIAL));
  return text?.split(/\r?\n/).filter((line) => line !== "");
}
