// SPDX-License-Identifier: Apache-2.0
// Values of JSON or TOML as the texts that an option reads, each in the kind that the option has.
import type { OptionKind } from "./option.ts";
import { OPTIONS, type OptionKey } from "./options.ts";

const KIND_WORDS: Record<OptionKind, string> = {
  flag: "true or false",
  integer: "a number",
  text: "a text",
  list: "a list of texts",
};

/** undefined: the value is of another kind */
export function textsOf(value: unknown, kind: OptionKind): readonly string[] | undefined {
  if (kind === "flag") return typeof value === "boolean" ? [String(value)] : undefined;
  if (kind === "integer") return typeof value === "number" ? [String(value)] : undefined;
  if (kind === "text") return typeof value === "string" ? [value] : undefined;
  return isTexts(value) ? value : undefined;
}

/** The kind of an option, for people. */
export function wantedKind(key: OptionKey): string {
  return KIND_WORDS[OPTIONS[key].kind];
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}
