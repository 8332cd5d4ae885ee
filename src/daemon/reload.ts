// SPDX-License-Identifier: Apache-2.0
// Takes over what has changed in the configuration while the daemon runs: peers, passwords, trusted subnets, log level. Everything is read and
// checked before anything is changed; what cannot be changed in a running daemon is named.
import type { Reloaded } from "../api/backend.ts";
import type { DaemonConfig } from "../config/load.ts";
import type { Option } from "../config/option.ts";
import { OPTION_KEYS, OPTIONS, type OptionKey } from "../config/options.ts";
import { formatCidr } from "../net/cidr.ts";
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";

/** Those that count at once. */
const LIVE: readonly OptionKey[] = ["passwords", "trustedSubnets", "logLevel"];

export interface ReloadPorts {
  /** As at a start. @throws {UserError} it cannot be used */
  load(): DaemonConfig;
  /** @throws {UserError} they cannot be passwords; then nothing was changed. Returns what the operator should know; undefined: they are the same. */
  setPasswords(passwords: readonly string[]): readonly string[] | undefined;
  /** `config.trustedSubnets` is another list now. Returns how many neighbours had to be let go. */
  trustChanged(): number;
  /** Makes the peers of the configuration count, if that list has changed. True: it had. */
  setPeers(config: DaemonConfig): boolean;
}

export class Reloader {
  readonly #ports: ReloadPorts;
  #config: DaemonConfig;

  constructor(initial: DaemonConfig, ports: ReloadPorts) {
    this.#config = initial;
    this.#ports = ports;
  }

  /** What is in force; passwords as at the last reload, see `PasswordSet` for those of now. */
  get config(): DaemonConfig {
    return this.#config;
  }

  /** @throws {UserError} the configuration cannot be used; nothing was changed */
  reload(): Reloaded {
    const now = this.#config;
    const next = this.#ports.load();
    const differs = (key: OptionKey): boolean => textOf(key, now) !== textOf(key, next);
    const changed: string[] = [];
    const warnings: string[] = [];
    // First, because they alone may still be refused. Compared by whoever knows what `weave password` has done meanwhile.
    const told = differs("passwords") ? this.#ports.setPasswords(next.passwords) : undefined;
    if (told !== undefined) {
      changed.push("password");
      warnings.push(...told);
    }
    const { logLevel, trustedSubnets, passwords, peers, launchId } = next;
    this.#config = { ...now, logLevel, trustedSubnets, passwords };
    if (now.logLevel !== logLevel) changed.push("log-level");
    if (differs("trustedSubnets")) {
      changed.push("trusted-subnets");
      warnings.push(...trustWarnings(now, next, this.#ports.trustChanged()));
    }
    if (this.#ports.setPeers(next)) {
      this.#config = { ...this.#config, peers, launchId };
      changed.push("peers");
    }
    const restart = OPTION_KEYS.filter((key) => !LIVE.includes(key) && differs(key)).map((key) => OPTIONS[key].flag);
    return { changed, needRestart: restart, warnings };
  }
}

function trustWarnings(before: DaemonConfig, now: DaemonConfig, ended: number): string[] {
  const known = new Set(before.trustedSubnets.map(formatCidr));
  const warnings = ended === 0 ? [] : [`connections to networks that are not trusted any more are made anew: ${ended}`];
  if (now.trustedSubnets.every((subnet) => known.has(formatCidr(subnet)))) return warnings;
  return [...warnings, "data to networks that are trusted from now on goes in clear when their connections are made anew"];
}

function textOf(key: OptionKey, config: DaemonConfig): string {
  return JSON.stringify((OPTIONS[key] as Option<unknown>).format(config[key])); // its own value, formatted by itself
}

/** For those who send a signal instead of `weave reload`, and read the log. */
export function reloadByLog(reloader: Reloader, log: Log): void {
  try {
    const { changed, needRestart, warnings } = reloader.reload();
    log.info("reloaded", { changed: changed.join(), needRestart: needRestart.join() || undefined });
    for (const reason of warnings) log.warn("reloaded", { reason });
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    log.error("cannot reload, everything stays as it was", { reason: thrown.message });
  }
}
