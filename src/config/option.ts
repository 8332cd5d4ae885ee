// SPDX-License-Identifier: Apache-2.0
// What an option is, and the kinds there are. An option reads its value from text (flag, environment) or from JSON (launch.json).
import { UserError } from "../runtime/errors.ts";

/** JSON form: a boolean, a number, a string or a list of strings. */
export type OptionKind = "flag" | "integer" | "text" | "list";

export interface Option<Value> {
  /** Without dashes; unique. */
  readonly flag: string;
  readonly kind: OptionKind;
  /** What stands behind the flag in the help; empty for flags without a value. */
  readonly hint: string;
  /** Environment variable of the same meaning; empty: none. */
  readonly env: string;
  /** An empty variable counts, and is not the same as none. */
  readonly emptyEnvCounts: boolean;
  readonly secret: boolean;
  readonly default: Value;
  /** How the default reads in the help, when it is not the value's own text. */
  readonly defaultText: string;
  /** One sentence. */
  readonly doc: string;
  /** Several texts come from a repeated flag; only lists allow it. @throws {UserError} */
  parse(texts: readonly string[]): Value;
  /** The texts `parse` would read it from. */
  format(value: Value): readonly string[];
}

/** The text is not even of the option's kind (no number, no boolean); a bad value of the right kind is a plain UserError. */
export class MalformedValue extends UserError {
  constructor(flag: string, text: string, wanted: string) {
    super("bad-request", `invalid value '${text}' for --${flag}`, `it takes ${wanted}`);
    this.name = "MalformedValue";
  }
}

/** @throws {UserError} always */
export function badValue(flag: string, text: string, why: string, hint: string): never {
  throw new UserError("bad-request", `invalid value '${text}' for --${flag}: ${why}`, hint);
}

interface Common {
  readonly flag: string;
  readonly doc: string;
  readonly env?: string;
  readonly hint?: string;
  readonly secret?: boolean;
  readonly emptyEnvCounts?: boolean;
  readonly defaultText?: string;
}
function common(spec: Common) {
  const { flag, doc, env = "", hint = "", secret = false, emptyEnvCounts = false, defaultText = "" } = spec;
  return { flag, doc, env, hint, secret, emptyEnvCounts, defaultText };
}

export function flagOption(spec: Common): Option<boolean> {
  const { flag } = spec;
  return {
    ...common(spec),
    kind: "flag",
    default: false,
    parse([text = ""]) {
      if (/^(1|t|true)$/i.test(text)) return true;
      if (/^(0|f|false)$/i.test(text)) return false;
      throw new MalformedValue(flag, text, "true or false");
    },
    format: (value) => [String(value)],
  };
}

export function integerOption(spec: Common & { min: number; max: number; default: number; zero?: string }): Option<number> {
  const { flag, min, max, zero } = spec;
  const wanted = `a number from ${min} to ${max}${zero === undefined ? "" : `, or 0 for ${zero}`}`;
  return {
    ...common({ ...spec, hint: spec.hint ?? "N" }),
    kind: "integer",
    default: spec.default,
    parse([text = ""]) {
      const value = Number(text);
      if (!/^[+-]?\d{1,15}$/.test(text)) throw new MalformedValue(flag, text, wanted);
      if (zero !== undefined && value === 0) return 0;
      return value >= min && value <= max ? value : badValue(flag, text, "out of range", `it takes ${wanted}`);
    },
    format: (value) => [String(value)],
  };
}

/** One text, checked and made canonical by `read`. */
export function textOption<Value>(
  spec: Common & { default: Value; read(text: string): Value; write?(value: Value): string },
): Option<Value> {
  const { read, write = String } = spec;
  return {
    ...common(spec),
    kind: "text",
    default: spec.default,
    parse: ([text = ""]) => read(text),
    format: (value) => [write(value)],
  };
}

/** Any number of texts; `split` cuts one flag's text into several. */
export function listOption<Entry>(
  spec: Common & { split?: RegExp; read(text: string): Entry; write?(entry: Entry): string },
): Option<readonly Entry[]> {
  const { split, read, write = String } = spec;
  return {
    ...common(spec),
    kind: "list",
    default: [],
    parse: (texts) =>
      texts
        .flatMap((text) => (split === undefined ? [text] : text.split(split)))
        .filter((text) => text !== "")
        .map(read),
    format: (entries) => entries.map((entry) => write(entry)),
  };
}
