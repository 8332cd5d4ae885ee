// SPDX-License-Identifier: Apache-2.0
// What users of Weave Net still type after `launch`: old spellings, flags that have no meaning any more, flags of services this build does not
// have. Each is translated, dropped with a word, or refused with a word; none is taken for something else.
import { parseCidr } from "../net/cidr.ts";
import { UserError } from "../runtime/errors.ts";

/** Old spelling -> today's flag. */
const RENAMED: Readonly<Record<string, string>> = {
  "-password": "--password",
  "-port": "--port",
  "-nickname": "--nickname",
  "-name": "--name",
  "-nodiscovery": "--no-discovery",
  "--nodiscovery": "--no-discovery",
  "--connlimit": "--conn-limit",
  "-connlimit": "--conn-limit",
  "-iprange": "--ipalloc-range",
  "--iprange": "--ipalloc-range",
  "-ipsubnet": "--ipalloc-default-subnet",
  "--ipsubnet": "--ipalloc-default-subnet",
  "-initpeercount": "--ipalloc-init",
  "--init-peer-count": "--ipalloc-init",
  "-no-default-ipam": "--no-default-ipalloc",
  "-H": "--proxy-listen",
};

interface OldFlag {
  readonly takesValue: boolean;
  /** For these values the flag asks for nothing that this build lacks: "" without one, "*" any. */
  readonly harmless: readonly string[];
  readonly why: string;
}
const flag = (why: string, ...harmless: string[]): OldFlag => ({ takesValue: false, harmless, why });
const value = (why: string, ...harmless: string[]): OldFlag => ({ takesValue: true, harmless, why });

const OTHER_PLUGIN = "the managed plugin only forwards to the daemon: weave docker-plugin create";
const MEANINGLESS = "it has no meaning any more";

const OLD: Readonly<Record<string, OldFlag>> = {
  "--no-restart": flag(MEANINGLESS, "", "true", "false"),
  "--no-bridged-fastdp": flag(MEANINGLESS, "", "true", "false"),
  "--datapath": value(MEANINGLESS, "*"),
  "--bufsz": value(MEANINGLESS, "*"),
  "--min-protocol-version": value(MEANINGLESS, "*"),
  "--pkt-debug": flag("use --log-level debug and the counters of weave report", "false"),
  "--token": value("the discovery service does not exist any more", ""),
  "--peer-discovery-url": value("the discovery service does not exist any more", ""),
  "--advertise-address": value("the discovery service does not exist any more", ""),
  "--metrics-addr": value("metrics are served at --status-addr", ""),
  "--db-prefix": value("use --data-dir"),
  "--passwordfile": value("put the password into the environment variable WEAVE_PASSWORD"),
  "-passwordfile": value("put the password into the environment variable WEAVE_PASSWORD"),
  "--plugin-v2": flag(OTHER_PLUGIN, "false"),
  "--with-dns": flag(MEANINGLESS, "", "true", "false"),
  "--expect-npc": flag("this build does not have network policy yet", "false"),
  "--no-masq-local": flag("this build does not have network policy yet", "", "true", "false"),
  "--awsvpc": flag("this build does not have AWS VPC mode yet", "false"),
};

/** Words of `launch` as today's parser understands them. @param warn gets one sentence for each word that is dropped
 *  @throws {UserError} a flag asks for what is not there */
export function translateOldFlags(argv: readonly string[], warn: (sentence: string) => void): readonly string[] {
  const words: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") return [...words, ...argv.slice(at)];
    if (/^--plugin(=.*)?$/.test(word)) {
      words.push(`--no-plugin=${/^--plugin(=(1|t|true))?$/i.test(word) ? "false" : "true"}`);
      continue;
    }
    const equals = word.startsWith("-") ? word.indexOf("=") : -1;
    const written = equals < 0 ? word : word.slice(0, equals);
    const name = RENAMED[written] ?? written;
    if (name === "--proxy") {
      words.push(`--no-proxy=${/^(0|f|false)$/i.test(word.slice(written.length + 1))}`); // the word stood for the proxy, whose absence is ours
      continue;
    }
    const old = OLD[name];
    if (old === undefined) {
      words.push(name + word.slice(written.length));
      // The value of a flag must not be taken for a flag: it is copied as it is.
      if (equals < 0 && name === "--password" && at + 1 < argv.length) words.push(argv[++at] ?? "");
      continue;
    }
    const given = equals >= 0 ? word.slice(equals + 1) : old.takesValue ? (argv[++at] ?? "") : "";
    if (!old.harmless.includes("*") && !old.harmless.includes(given)) {
      throw new UserError("unavailable", `cannot use '${written}': ${old.why}`);
    }
    if (old.why === MEANINGLESS) warn(`'${written}' is ignored: ${old.why}`);
  }
  return words;
}

/** The oldest form was `weave launch 10.0.0.1/16 peers…`; here without the network. @param words that are no flags */
export function dropOldRange(words: readonly string[], warn: (sentence: string) => void): readonly string[] {
  const [first = "", ...rest] = words;
  if (parseCidr(first) === undefined) return words;
  warn(`'${first}' is ignored: launch does not take a network any more`);
  return rest;
}
