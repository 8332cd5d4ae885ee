// SPDX-License-Identifier: Apache-2.0
// Go's fmt.Sprintf, Sprint and Sprintln for the values a report has. What does not fit is said inside the text, as Go does.
import type { GoValue } from "../render/go-json.ts";
import { format, formatNumber, typeName } from "./show.ts";

/** Width and precision beyond it are refused, as in Go. */
const SIZE_LIMIT = 1_000_000;

export function sprint(values: readonly GoValue[]): string {
  let text = "";
  for (const [index, value] of values.entries()) {
    const before = values[index - 1];
    if (index > 0 && typeof value !== "string" && typeof before !== "string") text += " ";
    text += format(value, {});
  }
  return text;
}

export function sprintln(values: readonly GoValue[]): string {
  return `${values.map((value) => format(value, {})).join(" ")}\n`;
}

interface Spec {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
}

const DIRECTIVE = /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.)?/gsu;

export function sprintf(template: string, values: readonly GoValue[]): string {
  let used = 0;
  const text = template.replace(DIRECTIVE, (_, flags: string, width?: string, precision?: string, verb?: string) => {
    const [wide, precise] = [width, precision].map((size) => readSize(size, () => values[used++]));
    if (verb === undefined || wide === "too large" || precise === "too large") return "%!(NOVERB)";
    if (verb === "%") return "%";
    const note = wide === "bad" ? "%!(BADWIDTH)" : precise === "bad" ? "%!(BADPREC)" : "";
    if (used >= values.length) return `${note}%!${verb}(MISSING)`;
    const left = typeof wide === "number" && wide < 0;
    return (
      note +
      directive(values[used++], {
        flags: left ? `${flags}-` : flags,
        width: typeof wide === "number" ? Math.abs(wide) : undefined,
        precision: typeof precise === "number" && precise >= 0 ? precise : undefined,
        verb,
      })
    );
  });
  const extra = values.slice(used).map((value) => `${typeName(value)}=${format(value, {})}`);
  return extra.length === 0 ? text : `${text}%!(EXTRA ${extra.join(", ")})`;
}

/** A width or precision: written, or taken from the values for `*`. */
function readSize(text: string | undefined, next: () => GoValue): number | undefined | "bad" | "too large" {
  if (text === undefined) return undefined;
  if (text !== "*") return Number(text) <= SIZE_LIMIT ? Number(text) : "too large";
  const value = next();
  return typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= SIZE_LIMIT ? value : "bad";
}

function directive(value: GoValue, spec: Spec): string {
  return pad(convert(value, spec) ?? `%!${spec.verb}(${typeName(value)}=${format(value, {})})`, spec);
}

function pad(text: string, { flags, width = 0 }: Spec): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (!flags.includes("0")) return " ".repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

/** undefined: the verb does not fit the value. */
function convert(value: GoValue, spec: Spec): string | undefined {
  const { verb, flags, precision } = spec;
  if (verb === "v")
    return flags.includes("#") ? goSyntax(value) : plus(value, format(value, { names: flags.includes("+") }), flags);
  if (verb === "T") return value === null || value === undefined ? "<nil>" : typeName(value);
  if (verb === "t") return typeof value === "boolean" ? String(value) : undefined;
  if (typeof value === "string") return convertText(value, spec);
  if (typeof value === "number" && /[eEfFgG]/.test(verb)) return plus(value, convertFloat(value, verb, precision), flags);
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value)))
    return convertInteger(BigInt(value), spec);
  if (value !== null && typeof value === "object" && verb === "s") return format(value, {});
  return undefined;
}

function goSyntax(value: GoValue): string {
  return typeof value === "string" ? JSON.stringify(value) : format(value, { names: true });
}

function plus(value: GoValue, text: string, flags: string): string {
  if (typeof value !== "number" && typeof value !== "bigint") return text;
  if (text.startsWith("-")) return text;
  return flags.includes("+") ? `+${text}` : flags.includes(" ") ? ` ${text}` : text;
}

function convertText(text: string, { verb, flags, precision }: Spec): string | undefined {
  const cut = precision === undefined ? text : [...text].slice(0, precision).join("");
  switch (verb) {
    case "s":
      return cut;
    case "q":
      return flags.includes("#") && !cut.includes("`") ? `\`${cut}\`` : JSON.stringify(cut);
    case "x":
      return Buffer.from(cut, "utf8").toString("hex");
    case "X":
      return Buffer.from(cut, "utf8").toString("hex").toUpperCase();
    default:
      return undefined;
  }
}

const RADIX: Readonly<Record<string, readonly [number, string]>> = {
  d: [10, ""],
  b: [2, "0b"],
  o: [8, "0"],
  O: [8, ""],
  x: [16, "0x"],
  X: [16, "0X"],
};

function convertInteger(value: bigint, { verb, flags, precision }: Spec): string | undefined {
  const code = Number(value);
  const isCode = code >= 0 && code <= 0x10ffff;
  if (verb === "c") return String.fromCodePoint(isCode ? code : 0xfffd);
  if (verb === "q") return `'${String.fromCodePoint(isCode ? code : 0xfffd)}'`;
  if (verb === "U") return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const [radix, prefix] = RADIX[verb] ?? [];
  if (radix === undefined || prefix === undefined) return undefined;
  const magnitude = (value < 0n ? -value : value).toString(radix).padStart(precision ?? 0, "0");
  const digits = verb === "X" ? magnitude.toUpperCase() : magnitude;
  const start = verb === "O" ? "0o" : flags.includes("#") ? prefix : "";
  const sign = value < 0n ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  return sign + start + digits;
}

function convertFloat(value: number, verb: string, precision: number | undefined): string {
  if (!Number.isFinite(value)) return formatNumber(value);
  if (verb === "f" || verb === "F") return value.toFixed(Math.min(precision ?? 6, 100));
  if (verb === "g" || verb === "G")
    return precision === undefined
      ? formatNumber(value)
      : formatNumber(Number(value.toPrecision(Math.min(Math.max(precision, 1), 100))));
  const text = value.toExponential(Math.min(precision ?? 6, 100)).replace(/e([+-])(\d)$/, "e$10$2");
  return verb === "E" ? text.toUpperCase() : text;
}
