// SPDX-License-Identifier: Apache-2.0
// The passwords that are valid now. They change while the daemon runs: the new one is added on every host, then the old one removed on every
// host, and no connection notices. A change is stored before it counts, so that a restart never goes back behind it.
import type { PasswordChange } from "../api/backend.ts";
import { canonicalPassword, distinctPasswords, passwordBytes, passwordFingerprint } from "../host/passwords.ts";
import { UserError } from "../runtime/errors.ts";

const FIRST = "this is the first password: connections made without one were closed; add it on every other host too";
const NONE_LEFT = "there is no password any more: every host without one may connect, those with one cannot";

export interface PasswordPorts {
  /** Keeps them for the next start. @throws {UserError} */
  store(passwords: readonly string[]): void;
  /** From now on these are valid in handshakes. */
  use(passwords: readonly string[]): void;
  /** There was none, and now there is one: nothing that goes on without is to be left. */
  required(): void;
}

export interface PasswordOptions {
  readonly initial: readonly string[];
  /** They stood on the daemon's command line, which also the next start will believe more than what is stored. */
  readonly areFixed: boolean;
}

export class PasswordSet {
  readonly #options: PasswordOptions;
  readonly #ports: PasswordPorts;
  #passwords: readonly string[];

  constructor(options: PasswordOptions, ports: PasswordPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#passwords = distinctPasswords(options.initial);
  }

  /** Not to be shown to anybody. */
  get texts(): readonly string[] {
    return this.#passwords;
  }
  fingerprints(): readonly string[] {
    return this.#passwords.map(passwordFingerprint);
  }

  /** Adding one that is valid already is no error. @throws {UserError} it cannot be a password, there are too many, or it cannot be stored */
  add(password: string): PasswordChange {
    const text = canonicalPassword(password);
    if (this.#passwords.includes(text)) return this.#unchanged("this password is valid already");
    const isFirst = this.#passwords.length === 0;
    this.#change([...this.#passwords, text]);
    if (!isFirst) return this.#changed();
    this.#ports.required();
    return this.#changed(FIRST);
  }

  /** @param force also the last one @throws {UserError} it is not valid, or the last one, or the change cannot be stored */
  remove(password: string, { force }: { readonly force: boolean }): PasswordChange {
    const text = canonicalPassword(password);
    const left = this.#passwords.filter((one) => one !== text);
    if (left.length === this.#passwords.length) {
      throw new UserError(
        "not-found",
        "this is none of the passwords that are valid here",
        "'weave password list' shows their fingerprints",
      );
    }
    if (left.length === 0 && !force) {
      throw new UserError(
        "conflict",
        "this is the last password: without one every host may connect, and data is not encrypted",
        "add another one first, or use --force",
      );
    }
    this.#change(left);
    if (left.length > 0) return this.#changed();
    return this.#changed(NONE_LEFT);
  }

  /** Those of the configuration count from now on, which is where the next start finds them. Returns what the operator should know; undefined:
   *  they are the same. @throws {UserError} they cannot be passwords; nothing was changed */
  adopt(passwords: readonly string[]): readonly string[] | undefined {
    const next = distinctPasswords(passwords);
    if (next.join("\0") === this.#passwords.join("\0")) return undefined;
    const isFirst = this.#passwords.length === 0;
    this.#use(next);
    if (isFirst) this.#ports.required();
    if (isFirst) return [FIRST];
    return next.length === 0 ? [NONE_LEFT] : [];
  }

  #change(passwords: readonly string[]): void {
    this.#use(passwords, () => this.#ports.store(passwords));
  }
  #use(passwords: readonly string[], store: () => void = () => {}): void {
    for (const bytes of passwordBytes(passwords)) bytes.fill(0); // only to see that they can be used
    store();
    this.#passwords = passwords;
    this.#ports.use(passwords);
  }

  #changed(...warnings: readonly string[]): PasswordChange {
    const fixed = this.#options.areFixed
      ? ["this daemon has --password on its command line, which wins at its next start: change it there too"]
      : [];
    return { changed: true, fingerprints: this.fingerprints(), warnings: [...warnings, ...fixed] };
  }
  #unchanged(warning: string): PasswordChange {
    return { changed: false, fingerprints: this.fingerprints(), warnings: [warning] };
  }
}
