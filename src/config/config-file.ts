// SPDX-License-Identifier: Apache-2.0
// weave.toml, the administrator's file: the options by the names of their flags, and `peers`. It is never written by us. What a launch was
// given wins over it, and so does the environment.
import { createHash } from "node:crypto";
import { errorText, UserError } from "../runtime/errors.ts";
import { isTexts, textsOf, wantedKind } from "./json-texts.ts";
import { didYouMean } from "./nearest.ts";
import { OPTION_KEYS, OPTIONS, type OptionKey } from "./options.ts";
import { readTextFile } from "./text-file.ts";

export const CONFIG_FILE = "/etc/weave/weave.toml";

export interface ConfigFile {
  /** Texts as their option parses them; options that do not stand in the file are absent. */
  readonly options: Readonly<Partial<Record<OptionKey, readonly string[]>>>;
  readonly peers: readonly string[];
  /** Changes when the peers do: then those of the file count again, instead of what `connect` and `forget` have left. */
  readonly peersId: string;
}

const KEY_OF_FLAG: ReadonlyMap<string, OptionKey> = new Map(OPTION_KEYS.map((key) => [OPTIONS[key].flag, key]));

/** undefined when there is none. @throws {UserError} it cannot be read or used */
export function readConfigFile(path = CONFIG_FILE): ConfigFile | undefined {
  const text = readTextFile(path);
  return text === undefined ? undefined : parseConfigFile(text, path);
}

/** @throws {UserError} no TOML, an unknown key, a value of the wrong kind */
export function parseConfigFile(text: string, path: string): ConfigFile {
  const refuse = (why: string, hint: string): never => {
    throw new UserError("bad-request", `cannot use '${path}': ${why}`, hint);
  };
  let root: object;
  try {
    root = Bun.TOML.parse(text);
  } catch (thrown) {
    return refuse(`it is not TOML: ${errorText(thrown)}`, "see weave.toml(5)");
  }
  const options: Partial<Record<OptionKey, readonly string[]>> = {};
  let peers: readonly string[] = [];
  for (const [flag, value] of Object.entries(root) as [string, unknown][]) {
    if (flag === "peers") {
      peers = isTexts(value) ? value : refuse("'peers' is not a list of texts", 'write it as ["host1", "host2:6783"]');
      continue;
    }
    const known = [...KEY_OF_FLAG.keys(), "peers"];
    const key = KEY_OF_FLAG.get(flag) ?? refuse(`unknown key '${flag}'`, didYouMean(flag, known) || "see weave.toml(5)");
    options[key] = textsOf(value, OPTIONS[key].kind) ?? refuse(`'${flag}' is not ${wantedKind(key)}`, "see weave.toml(5)");
  }
  const digest = createHash("sha256").update(JSON.stringify(peers)).digest("hex");
  return { options, peers, peersId: `file-${digest.slice(0, 12)}` };
}
