// SPDX-License-Identifier: Apache-2.0
// Values of the report and their JSON as Go's encoding/json writes it: struct fields in order, map keys sorted, `<`, `>` and `&` escaped,
// 64-bit numbers whole. The report's readers were written against that.

/** A plain object is a struct: asking for a field it lacks is an error. A Map is a map: a missing key is no value. An undefined
 *  field is a nil pointer: known to templates, left out of JSON. */
export type GoValue = null | undefined | boolean | number | bigint | string | readonly GoValue[] | GoStruct | GoMap;
export interface GoStruct {
  readonly [field: string]: GoValue;
}
export type GoMap = ReadonlyMap<string, GoValue>;

/** A nil slice and a nil map: empty for templates, null in JSON. */
export const NIL_LIST: readonly GoValue[] = Object.freeze([]);
export const NIL_MAP: GoMap = new Map();

export function isGoMap(value: GoValue): value is GoMap {
  return value instanceof Map;
}
export function isGoStruct(value: GoValue): value is GoStruct {
  return typeof value === "object" && value !== null && !isGoMap(value) && !Array.isArray(value);
}
export function isGoList(value: GoValue): value is readonly GoValue[] {
  return Array.isArray(value);
}

/** Entries in the order Go shows them: a map by key, a struct as declared. */
export function entriesOf(value: GoStruct | GoMap): readonly (readonly [string, GoValue])[] {
  if (value instanceof Map) return [...value].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.entries(value);
}

/** Without `indent` on one line without spaces (json.Marshal), with it spread over lines (json.MarshalIndent). */
export function formatGoJson(value: GoValue, indent = ""): string {
  return format(value, indent, "");
}

function format(value: GoValue, indent: string, margin: string): string {
  if (value === null || value === undefined || value === NIL_LIST || value === NIL_MAP) return "null";
  if (typeof value === "string") return quoteGoJson(value);
  if (typeof value !== "object") return String(value);
  if (isGoList(value)) {
    return enclose(
      "[]",
      value.map((entry) => format(entry, indent, margin + indent)),
      indent,
      margin,
    );
  }
  const entries = entriesOf(value).filter(([, entry]) => entry !== undefined);
  const separator = indent === "" ? ":" : ": ";
  return enclose(
    "{}",
    entries.map(([key, entry]) => quoteGoJson(key) + separator + format(entry, indent, margin + indent)),
    indent,
    margin,
  );
}

function enclose(brackets: "[]" | "{}", parts: readonly string[], indent: string, margin: string): string {
  const [open, close] = [brackets[0], brackets[1]];
  if (parts.length === 0) return brackets;
  if (indent === "") return `${open}${parts.join(",")}${close}`;
  return `${open}\n${parts.map((part) => margin + indent + part).join(",\n")}\n${margin}${close}`;
}

function quoteGoJson(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
