// SPDX-License-Identifier: Apache-2.0
// Strict reading of a command's words by its citty definition: an unknown flag, a missing value and a superfluous word are errors. citty's own
// parser lets all of them pass, and takes `--no-x` for the opposite of `--x`.
import type { BooleanArgDef, EnumArgDef, PositionalArgDef, StringArgDef } from "citty";
import { didYouMean } from "../config/nearest.ts";
import { UserError } from "../runtime/errors.ts";

/** citty's definitions; `multiple` lets a flag be given again, or lets a positional take all words that remain. */
export type ArgSpec = (
  | (BooleanArgDef & { type: "boolean" })
  | (StringArgDef & { type: "string" })
  | (EnumArgDef & { type: "enum" })
  | (PositionalArgDef & { type: "positional" })
) & { readonly multiple?: boolean };
export type ArgSpecs = Readonly<Record<string, ArgSpec>>;

type ParsedArg<Spec> = Spec extends { type: "boolean" }
  ? boolean
  : Spec extends { multiple: true }
    ? readonly string[]
    : Spec extends { required: true }
      ? string
      : string | undefined;
export type ParsedArgs<Specs extends ArgSpecs> = { readonly [Name in keyof Specs]: ParsedArg<Specs[Name]> };

/** The words do not fit the command; its usage is shown. */
export class UsageError extends UserError {
  constructor(message: string, hint = "") {
    super("bad-request", message, hint);
    this.name = "UsageError";
  }
}

export interface RawArgs {
  /** Flag name -> its texts in order; "true" or "false" for flags without a value. */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly words: readonly string[];
}

/** Splits words into flags and the rest. Flags may stand anywhere; `--` ends them. @throws {UsageError} */
export function splitArgs(specs: ArgSpecs, argv: readonly string[]): RawArgs {
  const flags = new Map<string, string[]>();
  const words: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") {
      words.push(...argv.slice(at + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      words.push(word);
      continue;
    }
    const equals = word.indexOf("=");
    const written = equals < 0 ? word : word.slice(0, equals);
    const [name, spec] = findFlag(specs, written);
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    if (spec.type === "boolean") value = readBoolean(written, value);
    else value ??= argv[++at];
    if (value === undefined) throw new UsageError(`'${written}' needs a value`);
    add(flags, name, value, spec);
  }
  return { flags, words };
}

function findFlag(specs: ArgSpecs, written: string): readonly [string, ArgSpec] {
  const long = written.startsWith("--");
  for (const [name, spec] of Object.entries(specs)) {
    if (spec.type === "positional") continue;
    const aliases = typeof spec.alias === "string" ? [spec.alias] : (spec.alias ?? []);
    const match = long ? name === written.slice(2) : aliases.includes(written.slice(1));
    if (match) return [name, spec];
  }
  const known = Object.keys(specs).filter((name) => specs[name]?.type !== "positional");
  throw new UsageError(
    `unknown flag '${written}'`,
    didYouMean(written.replace(/^-+/, ""), known, (name) => `--${name}`),
  );
}

function readBoolean(written: string, value: string | undefined): string {
  if (value === undefined || /^(1|t|true)$/i.test(value)) return "true";
  if (/^(0|f|false)$/i.test(value)) return "false";
  throw new UsageError(`'${written}' takes true or false, not '${value}'`);
}

function add(flags: Map<string, string[]>, name: string, value: string, spec: ArgSpec): void {
  const before = flags.get(name);
  // As in Weave Net, the later of two counts, so that scripts can append to defaults.
  if (before !== undefined && spec.multiple === true) before.push(value);
  else flags.set(name, [value]);
}

/** @throws {UsageError} a word is missing or superfluous, or a choice is not one */
export function parseArgs<Specs extends ArgSpecs>(specs: Specs, { flags, words }: RawArgs): ParsedArgs<Specs> {
  const parsed: Record<string, unknown> = {};
  const left = [...words];
  for (const [name, spec] of Object.entries<ArgSpec>(specs)) {
    const texts = flags.get(name) ?? [];
    if (spec.type === "positional") parsed[name] = takeWords(name, spec, left);
    else if (spec.type === "boolean") parsed[name] = texts[0] === "true";
    else parsed[name] = spec.multiple === true ? texts : texts[0];
    if (spec.type === "enum") checkChoice(name, texts[0], spec.options ?? []);
  }
  if (left.length > 0) throw new UsageError(`superfluous argument '${left[0]}'`);
  return parsed as ParsedArgs<Specs>; // filled in name by name above, each with the kind its spec says
}

function takeWords(name: string, spec: ArgSpec, left: string[]): string | readonly string[] | undefined {
  if (left.length === 0 && spec.required === true) throw new UsageError(`<${name}> is missing`);
  return spec.multiple === true ? left.splice(0) : left.shift();
}

function checkChoice(name: string, text: string | undefined, choices: readonly string[]): void {
  if (text === undefined || choices.includes(text)) return;
  throw new UsageError(`invalid value '${text}' for --${name}`, `choose ${choices.join(", ")}`);
}
