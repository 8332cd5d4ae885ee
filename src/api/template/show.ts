// SPDX-License-Identifier: Apache-2.0
// How Go prints values with %v: `[a b]`, `map[k:v]`, `{x y}`, `<nil>`; and the names it gives their types.
import { entriesOf, type GoValue, isGoList, isGoMap } from "../render/go-json.ts";

export interface ShowOptions {
  /** `%+v`: struct fields with their names. */
  readonly names?: boolean;
}

/** What `{{x}}` prints. */
export function show(value: GoValue): string {
  return value === null ? "<no value>" : format(value, {});
}

/** What `%v` prints. */
export function format(value: GoValue, options: ShowOptions): string {
  if (value === null || value === undefined) return "<nil>";
  if (typeof value === "number") return formatNumber(value);
  if (typeof value !== "object") return String(value);
  if (isGoList(value)) return `[${value.map((entry) => format(entry, options)).join(" ")}]`;
  const entries = entriesOf(value);
  if (isGoMap(value)) return `map[${entries.map(([key, entry]) => `${key}:${format(entry, options)}`).join(" ")}]`;
  const fields = entries.map(([name, entry]) => (options.names ? `${name}:` : "") + format(entry, options));
  return `{${fields.join(" ")}}`;
}

/** Integers as they are; others as %g does: shortest, with an exponent of two digits when below -4 or from 21 on. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  if (Number.isSafeInteger(value)) return String(value);
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 21)
    return value.toLocaleString("en-US", { useGrouping: false, maximumFractionDigits: 20, maximumSignificantDigits: 17 });
  return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** For error messages and %T. */
export function typeName(value: GoValue): string {
  if (value === null || value === undefined) return "nil";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "uint64";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (isGoList(value)) return "[]interface {}";
  return isGoMap(value) ? "map[string]interface {}" : "struct";
}

/** What counts as true: not zero, not empty, not nil. */
export function isTrue(value: GoValue): boolean {
  if (isGoMap(value)) return value.size > 0;
  return isGoList(value) ? value.length > 0 : Boolean(value);
}
