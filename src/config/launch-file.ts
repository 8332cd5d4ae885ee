// SPDX-License-Identifier: Apache-2.0
// launch.json in the data directory: what the last `launch` was given, so that a restart by the service manager runs with the same. It may
// hold passwords, so it is readable by its owner only. Written to a new file and renamed: it is whole or the one before.
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { syncDirectory, writeDurably } from "../runtime/durable-file.ts";
import { errorText, fileErrorText, UserError } from "../runtime/errors.ts";
import { isTexts, textsOf, wantedKind } from "./json-texts.ts";
import { didYouMean } from "./nearest.ts";
import { OPTION_KEYS, OPTIONS, type OptionKey } from "./options.ts";
import { readTextFile } from "./text-file.ts";

const FORMAT_VERSION = 1;
const NEWER = "install that version again, or run 'weave launch' with all its options again; it writes the file anew";

export interface LaunchFile {
  /** Random, new at each launch. */
  readonly launchId: string;
  /** Texts as their option parses them; options that were not given are absent. */
  readonly options: Readonly<Partial<Record<OptionKey, readonly string[]>>>;
  readonly peers: readonly string[];
}

export function launchFilePath(dataDir: string): string {
  return join(dataDir, "launch.json");
}

/** undefined when there is none. @throws {UserError} it cannot be read; it is left as it is */
export function readLaunchFile(dataDir: string): LaunchFile | undefined {
  const path = launchFilePath(dataDir);
  const text = readTextFile(path);
  return text === undefined ? undefined : parseLaunchFile(text, path);
}

/** @throws {UserError} damaged, or with an unknown key */
export function parseLaunchFile(text: string, path: string): LaunchFile {
  const damaged = (why: string, hint = ""): never => {
    throw new UserError(
      "bad-request",
      `cannot use '${path}': ${why}`,
      hint || "run 'weave launch' again; it writes the file anew",
    );
  };
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (thrown) {
    damaged(`it is not JSON: ${errorText(thrown)}`);
  }
  const file = isRecord(root) ? root : damaged("it is not a JSON object");
  if (Number(file["version"]) > FORMAT_VERSION)
    damaged(`it was written by a newer weave (version ${file["version"]}, this one knows ${FORMAT_VERSION})`, NEWER);
  if (file["version"] !== FORMAT_VERSION) damaged(`it has version ${JSON.stringify(file["version"])}, not ${FORMAT_VERSION}`);
  for (const key of Object.keys(file)) if (!/^(version|launchId|peers|options)$/.test(key)) damaged(`unknown key '${key}'`);
  const { launchId, peers = [], options = {} } = file;
  if (typeof launchId !== "string") return damaged("'launchId' is not a text");
  if (!isTexts(peers)) return damaged("'peers' is not a list of texts");
  if (!isRecord(options)) return damaged("'options' is not an object");
  const read: Partial<Record<OptionKey, readonly string[]>> = {};
  for (const [key, value] of Object.entries(options)) {
    if (!isOptionKey(key)) return damaged(`unknown option '${key}'`, didYouMean(key, OPTION_KEYS) || NEWER);
    read[key] = textsOf(value, OPTIONS[key].kind) ?? damaged(`option '${key}' is not ${wantedKind(key)}`);
  }
  return { launchId, peers, options: read };
}

/** @throws {UserError} the disk is full, the directory cannot be written, … */
export function writeLaunchFile(dataDir: string, file: LaunchFile): void {
  const path = launchFilePath(dataDir);
  const options = Object.fromEntries(OPTION_KEYS.flatMap((key) => jsonEntry(key, file.options[key])));
  const text = `${JSON.stringify({ version: FORMAT_VERSION, launchId: file.launchId, peers: file.peers, options }, undefined, 2)}\n`;
  const unfinished = `${path}.unfinished`;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    rmSync(unfinished, { force: true }); // a left-over one may have other permissions
    writeDurably(unfinished, Buffer.from(text));
    renameSync(unfinished, path);
    syncDirectory(dirname(path));
  } catch (thrown) {
    discard(unfinished);
    throw new UserError(
      "unavailable",
      `cannot write '${path}': ${fileErrorText(thrown)}`,
      "make room or choose another --data-dir",
      {
        cause: thrown,
      },
    );
  }
}

/** Changes one option of what the next start is given; also when no `launch` was before. @throws {UserError} */
export function storeOption(dataDir: string, key: OptionKey, texts: readonly string[]): void {
  const file = readLaunchFile(dataDir) ?? { launchId: "", options: {}, peers: [] };
  writeLaunchFile(dataDir, { ...file, options: { ...file.options, [key]: texts } });
}

export function removeLaunchFile(dataDir: string): void {
  rmSync(launchFilePath(dataDir), { force: true });
}

function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What keeps it from being removed is likely what kept it from being written, and that is told.
  }
}

function jsonEntry(key: OptionKey, texts: readonly string[] | undefined): [string, unknown][] {
  if (texts === undefined) return [];
  const [text = ""] = texts;
  const { kind } = OPTIONS[key];
  return [[key, kind === "flag" ? text === "true" : kind === "integer" ? Number(text) : kind === "text" ? text : texts]];
}

function isOptionKey(key: string): key is OptionKey {
  return Object.hasOwn(OPTIONS, key);
}
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
