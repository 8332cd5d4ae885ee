// SPDX-License-Identifier: Apache-2.0
// The functions of text/template, and `json`, over values of the report. They throw Error with Go's words; the caller adds the place.
import { formatGoJson, type GoValue, isGoList, isGoMap } from "../render/go-json.ts";
import { equal, less } from "./compare.ts";
import { sprint, sprintf, sprintln } from "./printf.ts";
import { format, isTrue, show, typeName } from "./show.ts";

type TemplateFunction = (...values: GoValue[]) => GoValue;
interface Entry {
  readonly min: number;
  readonly max: number;
  readonly call: TemplateFunction;
}

const many = Number.POSITIVE_INFINITY;
const FUNCTIONS: ReadonlyMap<string, Entry> = new Map(
  Object.entries({
    not: { min: 1, max: 1, call: (value) => !isTrue(value) },
    len: { min: 1, max: 1, call: length },
    index: { min: 1, max: many, call: (value, ...keys) => keys.reduce(index, value) },
    slice: { min: 1, max: 4, call: slice },
    json: { min: 1, max: 1, call: (value) => formatGoJson(value) },
    print: { min: 0, max: many, call: (...values) => sprint(values) },
    println: { min: 0, max: many, call: (...values) => sprintln(values) },
    printf: { min: 1, max: many, call: (template, ...values) => sprintf(text(template), values) },
    html: { min: 0, max: many, call: (...values) => escapeHtml(joined(values)) },
    urlquery: { min: 0, max: many, call: (...values) => new URLSearchParams({ "": joined(values) }).toString().slice(1) },
    eq: { min: 1, max: many, call: (first, ...others) => equal(first, others) },
    ne: { min: 2, max: 2, call: (first, second) => !equal(first, [second]) },
    lt: { min: 2, max: 2, call: less },
    le: { min: 2, max: 2, call: (first, second) => !less(second, first) },
    gt: { min: 2, max: 2, call: (first, second) => less(second, first) },
    ge: { min: 2, max: 2, call: (first, second) => !less(first, second) },
  } satisfies Record<string, Entry>),
);

/** `and` and `or` evaluate only what they need, so the executor has them. */
export const FUNCTION_NAMES: ReadonlySet<string> = new Set([...FUNCTIONS.keys(), "and", "or"]);

/** @throws {Error} with Go's words */
export function callFunction(name: string, values: readonly GoValue[]): GoValue {
  const entry = FUNCTIONS.get(name);
  if (!entry) throw new Error(`${JSON.stringify(name)} is not a defined function`);
  if (values.length < entry.min || values.length > entry.max) {
    const want = entry.max === many ? `at least ${entry.min}` : String(values.length < entry.min ? entry.min : entry.max);
    throw new WrongArguments(`wrong number of args for ${name}: want ${want} got ${values.length}`);
  }
  return entry.call(...values);
}

/** Go says this without "error calling". */
export class WrongArguments extends Error {}

function text(value: GoValue): string {
  if (typeof value !== "string") throw new Error(`expected string; found ${format(value, {})}`);
  return value;
}

function joined(values: readonly GoValue[]): string {
  return values.length === 1 ? show(values[0]) : sprint(values);
}

function length(value: GoValue): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (isGoMap(value)) return value.size;
  if (isGoList(value)) return value.length;
  if (value === undefined || value === null) throw new Error("len of nil pointer");
  throw new Error(`len of type ${typeName(value)}`);
}

function index(value: GoValue, key: GoValue): GoValue {
  if (isGoMap(value)) {
    if (typeof key !== "string") throw new Error(`value has type ${typeName(key)}; should be string`);
    return value.get(key) ?? null;
  }
  if (value === null || value === undefined) throw new Error("index of untyped nil");
  if (typeof value === "string") return Buffer.from(value)[position(key, Buffer.byteLength(value) - 1)] ?? null;
  if (isGoList(value)) return value[position(key, value.length - 1)];
  throw new Error(`can't index item of type ${typeName(value)}`);
}

function position(key: GoValue, limit: number): number {
  if (typeof key !== "number" || !Number.isInteger(key)) throw new Error(`cannot index slice/array with type ${typeName(key)}`);
  if (key < 0 || key > limit) throw new Error(`index out of range: ${key}`);
  return key;
}

function slice(value: GoValue, ...bounds: GoValue[]): GoValue {
  const size = length(value);
  const from = bounds[0] === undefined ? 0 : position(bounds[0], size);
  const to = bounds[1] === undefined ? size : position(bounds[1], size);
  if (typeof value === "string" && bounds.length === 3) throw new Error("cannot 3-index slice a string");
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (typeof value === "string") return Buffer.from(value).subarray(from, to).toString("utf8");
  if (isGoList(value)) return value.slice(from, to);
  throw new Error(`can't slice item of type ${typeName(value)}`);
}

const HTML: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
  "\0": "\uFFFD",
};

function escapeHtml(raw: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Go replaces it too
  return raw.replace(/[&<>"'\u0000]/g, (one) => HTML[one] ?? one);
}
