// SPDX-License-Identifier: Apache-2.0
// The name servers of this host, from a file in the form of resolv.conf(5). The file is looked at again when it is needed, at most every few
// seconds, and read again when it has changed.
import { readFileSync, statSync } from "node:fs";
import { type Ip, parseIp } from "../net/ip.ts";
import type { Clock, Instant } from "../runtime/clock.ts";

const CHECK_MS = 5_000;
const SERVERS_MAX = 8;
const FILE_MAX_BYTES = 64 * 1024;

/** Addresses behind `nameserver`, each once, in order; those with a zone or unreadable are left out. */
export function parseResolvConf(text: string): Ip[] {
  const words = [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map((match) => parseIp(match[1] ?? ""));
  return [...new Set(words.filter((ip) => ip !== undefined))].slice(0, SERVERS_MAX);
}

export class ResolvConf {
  readonly path: string;
  readonly #clock: Clock;
  #servers: readonly Ip[] = [];
  #mark = "";
  #checkedAt: Instant = Number.NEGATIVE_INFINITY;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
  }

  /** Empty when there is no such file now. */
  servers(): readonly Ip[] {
    const now = this.#clock.now();
    if (now - this.#checkedAt < CHECK_MS) return this.#servers;
    this.#checkedAt = now;
    try {
      const { ino, mtimeMs, size } = statSync(this.path);
      const mark = `${ino} ${mtimeMs} ${size}`;
      if (mark === this.#mark) return this.#servers;
      this.#mark = mark;
      this.#servers = size <= FILE_MAX_BYTES ? parseResolvConf(readFileSync(this.path, "utf8")) : [];
    } catch {
      this.#mark = ""; // not there, or closed to us: there are no servers until it can be read
      this.#servers = [];
    }
    return this.#servers;
  }
}
