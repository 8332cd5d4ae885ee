// SPDX-License-Identifier: Apache-2.0
// How the Docker daemon of this host was started.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const CONFIG_FILE = "/etc/docker/daemon.json";

/** Its flags that begin with `tls`, without dashes, and what its configuration file says in their place; a switch has the value `true`.
 *  undefined: none runs here. */
export function dockerTlsFlags(procPath = "/proc"): ReadonlyMap<string, string> | undefined {
  for (const pid of readdirSync(procPath).filter((name) => /^\d+$/.test(name))) {
    const words = commandLine(join(procPath, pid, "cmdline"));
    if (!/(^|\/)dockerd$/.test(words[0] ?? "") || isElsewhere(procPath, pid)) continue;
    const flags = tlsFlags(words);
    const path = settingOf(words, "config-file") ?? CONFIG_FILE;
    for (const [name, value] of Object.entries(readObject(join(procPath, pid, "root", path)))) {
      const isTls = /^tls[a-z]*$/.test(name) && (typeof value === "string" || typeof value === "boolean");
      if (isTls && !flags.has(name)) flags.set(name, `${value}`);
    }
    return flags;
  }
  return undefined;
}

function tlsFlags(words: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (const [at, word] of words.entries()) {
    const [, name, value] = /^--(tls[a-z]*)(?:=(.*))?$/.exec(word) ?? [];
    if (name === undefined) continue;
    const next = /^tls(cacert|cert|key)$/.test(name) ? (words[at + 1] ?? "") : "true";
    flags.set(name, value ?? next);
  }
  return flags;
}

/** Of `--name=value` or `--name value`. */
function settingOf(words: readonly string[], name: string): string | undefined {
  const at = words.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  return at < 0 ? undefined : (/=(.*)$/s.exec(words[at] ?? "")?.[1] ?? words[at + 1]);
}

/** A Docker inside a container is not this host's, and mostly speaks TLS. What may not be looked at is taken to be here. */
function isElsewhere(procPath: string, pid: string): boolean {
  try {
    return readlinkSync(join(procPath, pid, "ns/net")) !== readlinkSync("/proc/self/ns/net");
  } catch {
    return false;
  }
}

/** Empty when there is none, as is usual, or it may not be read. */
function readObject(path: string): object {
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof content === "object" && content !== null ? content : {};
  } catch {
    return {};
  }
}

function commandLine(path: string): readonly string[] {
  try {
    return readFileSync(path, "latin1").split("\0");
  } catch {
    return []; // it has just ended
  }
}
