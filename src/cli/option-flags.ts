// SPDX-License-Identifier: Apache-2.0
// The flags of `launch` and `daemon`, made from the option table, and back to the table's keys.
import type { GivenFlags } from "../config/load.ts";
import type { Option } from "../config/option.ts";
import { OPTION_KEYS, OPTIONS } from "../config/options.ts";
import type { ArgSpec, ArgSpecs } from "./args.ts";

/** One flag per option; all texts of it are kept, the option itself reads them. */
export const OPTION_FLAGS: ArgSpecs = Object.fromEntries(
  OPTION_KEYS.map((key) => [OPTIONS[key].flag, flagSpec(OPTIONS[key] as Option<unknown>)]),
);

function flagSpec(option: Option<unknown>): ArgSpec {
  const { kind, hint, env, defaultText } = option;
  const preset = defaultText || (kind === "list" || kind === "flag" ? "" : option.format(option.default).join(","));
  const notes = [preset === "" ? "" : `default ${preset}`, env === "" ? "" : `or ${env}`].filter((note) => note !== "");
  const description = `${option.doc}${notes.length === 0 ? "" : ` (${notes.join("; ")})`}`;
  if (kind === "flag") return { type: "boolean", description };
  return { type: "string", multiple: true, valueHint: hint, description };
}

/** The flags that stood on the command line, by option. A flag that is given again replaces the one before unless it is a list. */
export function givenOptions(flags: ReadonlyMap<string, readonly string[]>): GivenFlags {
  const given: { -readonly [Key in keyof GivenFlags]: GivenFlags[Key] } = {};
  for (const key of OPTION_KEYS) {
    const texts = flags.get(OPTIONS[key].flag);
    if (texts !== undefined) given[key] = OPTIONS[key].kind === "list" ? texts : texts.slice(-1);
  }
  return given;
}
