// SPDX-License-Identifier: Apache-2.0
// Which value wins: a flag, else launch.json (what the last `launch` was given), else a credential of the service manager, else the environment, else weave.toml, else the default.
import { UserError } from "../runtime/errors.ts";
import { CONFIG_FILE, type ConfigFile } from "./config-file.ts";
import type { LaunchFile } from "./launch-file.ts";
import type { Option } from "./option.ts";
import { OPTION_KEYS, OPTIONS, type OptionKey, type Options } from "./options.ts";
import { readPeer } from "./values.ts";

/** Texts of flags by key, as they stood on the command line. */
export type GivenFlags = Readonly<Partial<Record<OptionKey, readonly string[]>>>;
export type Environment = Readonly<Record<string, string | undefined>>;
export type Origin = "flag" | "launch" | "credential" | "environment" | "config" | "default";

/** Everything the daemon is told from outside. */
export interface DaemonConfig extends Options {
  /** Targets as given; with `launchId` known from before, or `resume`, the saved ones count instead. */
  readonly peers: readonly string[];
  /** Which `launch` wrote launch.json; without one, which peers weave.toml names; empty without either. It changes at each launch and stays over
   *  restarts: a restart keeps the targets that `connect` and `forget` have left, a launch starts with its own. */
  readonly launchId: string;
  /** Passwords of a flag win over launch.json also after `weave password` has changed that. */
  readonly origins: Readonly<Record<OptionKey, Origin>>;
}

export interface Sources {
  readonly flags: GivenFlags;
  readonly peers: readonly string[];
  readonly file?: LaunchFile | undefined;
  readonly administrators?: ConfigFile | undefined;
  /** Passwords handed over by the service manager. */
  readonly credentials?: readonly string[] | undefined;
  readonly env: Environment;
  /** Default nickname. */
  readonly hostname: string;
}

export interface Loaded {
  readonly config: DaemonConfig;
  readonly origins: Readonly<Record<OptionKey, Origin>>;
}

/** @throws {UserError} a value cannot be used; the message names the flag, key or variable */
export function loadConfig(sources: Sources): Loaded {
  const values: Partial<Record<OptionKey, unknown>> = {};
  const origins: Partial<Record<OptionKey, Origin>> = {};
  for (const key of OPTION_KEYS) {
    const option: Option<never> | Option<unknown> = OPTIONS[key] as Option<unknown>; // read only through its own parse
    [values[key], origins[key]] = pick(option, key, sources);
  }
  const options = values as Options; // every key was just filled in from its own option
  const from = origins as DaemonConfig["origins"]; // and so was this
  const nickname = options.nickname === "" ? sources.hostname : options.nickname;
  const stored = sources.file ?? sources.administrators;
  const peers = (sources.peers.length > 0 ? sources.peers : (stored?.peers ?? [])).map(readPeer);
  const config = {
    ...options,
    nickname,
    peers,
    launchId: sources.file?.launchId ?? sources.administrators?.peersId ?? "",
    origins: from,
  };
  checkTogether(config);
  return { config, origins: from };
}

function pick(
  option: Option<unknown>,
  key: OptionKey,
  { flags, file, credentials, env, administrators }: Sources,
): [unknown, Origin] {
  const flag = flags[key];
  if (flag !== undefined) return [option.parse(flag), "flag"];
  const stored = file?.options[key];
  if (stored !== undefined) return [option.parse(stored), "launch"];
  if (key === "passwords" && credentials !== undefined) return [option.parse(credentials), "credential"];
  const variable = option.env === "" ? undefined : env[option.env];
  if (variable !== undefined && (variable !== "" || option.emptyEnvCounts)) {
    return [
      fromElsewhere(option, `the environment variable ${option.env}`, () => fromEnvironment(option, variable)),
      "environment",
    ];
  }
  const written = administrators?.options[key];
  if (written === undefined) return [option.default, "default"];
  return [fromElsewhere(option, `'${option.flag}' in ${CONFIG_FILE}`, () => option.parse(written)), "config"];
}

function fromEnvironment(option: Option<unknown>, text: string): unknown {
  if (option.kind === "flag") return true; // WEAVE_NO_FASTDP and the like: anything but empty is on
  return option.parse([text]);
}

/** Says where a value that cannot be used stands; options themselves speak of their flag. */
function fromElsewhere(option: Option<unknown>, place: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    throw new UserError(thrown.code, thrown.message.replace(`--${option.flag}`, place), thrown.hint);
  }
}

function checkTogether({ resume, peers }: DaemonConfig): void {
  if (!resume || peers.length === 0) return;
  throw new UserError("bad-request", "--resume and peers exclude each other", "--resume connects to the peers of the last time");
}

type Shown = string | number | boolean | readonly string[];

/** Effective options for people: texts, numbers and booleans, secrets masked; `origins`: where each comes from that has not its default. */
export function shownConfig(config: DaemonConfig): Record<string, Shown | Readonly<Record<string, Origin>>> {
  const shown: Record<string, Shown> = {};
  for (const key of OPTION_KEYS) {
    const option = OPTIONS[key] as Option<unknown>;
    const texts = option.format(config[key]).map((text) => (option.secret ? "********" : text));
    const value = config[key];
    if (option.kind === "list") shown[key] = texts;
    else shown[key] = typeof value === "number" || typeof value === "boolean" ? value : (texts[0] ?? "");
  }
  const origins = Object.fromEntries(Object.entries(config.origins).filter(([, origin]) => origin !== "default"));
  return { ...shown, peers: config.peers, origins };
}

/** What differs from the defaults as one would type it, secrets masked: `--port 7000 --no-discovery host1`; for the log. */
export function commandLineOf(config: DaemonConfig): string {
  const words: string[] = [];
  for (const key of OPTION_KEYS) {
    const option = OPTIONS[key] as Option<unknown>;
    const texts = option.format(config[key]);
    if (key === "nickname" || texts.join() === option.format(option.default).join()) continue;
    for (const text of texts) words.push(`--${option.flag}`, ...(option.kind === "flag" ? [] : [shownWord(option, text)]));
  }
  return [...words, ...config.peers].join(" ");
}

function shownWord(option: Option<unknown>, text: string): string {
  if (option.secret) return "********";
  return text === "" || /\s/.test(text) ? `'${text}'` : text;
}
