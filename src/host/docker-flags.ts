// SPDX-License-Identifier: Apache-2.0
// How the Docker daemon of this host was started.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Flags that begin with `tls` on its command line, without dashes; a switch has the value `true`. undefined: none runs here. */
export function dockerTlsFlags(procPath = "/proc"): ReadonlyMap<string, string> | undefined {
  for (const pid of readdirSync(procPath).filter((name) => /^\d+$/.test(name))) {
    const words = commandLine(join(procPath, pid, "cmdline"));
    if (!/(^|\/)dockerd$/.test(words[0] ?? "")) continue;
    const flags = new Map<string, string>();
    for (const [at, word] of words.entries()) {
      const [, name, value] = /^--(tls[a-z]*)(?:=(.*))?$/.exec(word) ?? [];
      if (name === undefined) continue;
      const next = /^tls(cacert|cert|key)$/.test(name) ? (words[at + 1] ?? "") : "true";
      flags.set(name, value ?? next);
    }
    return flags;
  }
  return undefined;
}

function commandLine(path: string): readonly string[] {
  try {
    return readFileSync(path, "latin1").split("\0");
  } catch {
    return []; // it has just ended
  }
}
