// SPDX-License-Identifier: Apache-2.0
// Reading what came over HTTP: total parsers with bounds, each refusing with a sentence that names the parameter.
import { type Cidr, parseCidr } from "../net/cidr.ts";
import { UserError } from "../runtime/errors.ts";

/** Addresses, peers and words in one request. */
export const LIST_LIMIT = 256;
/** Characters in one parameter. */
export const TEXT_LIMIT = 4096;

export type Fields = Readonly<Record<string, unknown>>;

export function refuse(message: string, hint = ""): never {
  throw new UserError("bad-request", message, hint);
}

/** A JSON object without keys other than `known`, so that a misspelt key is not lost silently. */
export function readFields(body: unknown, known: readonly string[]): Fields {
  if (typeof body !== "object" || body === null || Array.isArray(body)) refuse("the request body is not a JSON object");
  const fields = { ...body } as Fields; // an object, checked above
  for (const key of Object.keys(fields)) if (!known.includes(key)) refuse(`unknown key '${key}' in the request body`);
  return fields;
}

export function readText(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") refuse(`'${name}' is missing`);
  if (value.length > TEXT_LIMIT) refuse(`'${name}' is longer than ${TEXT_LIMIT} characters`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(value)) refuse(`'${name}' contains control characters`);
  return value;
}

/** A password, which may have any character; it is in no message. */
export function readSecret(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") refuse(`'${name}' is missing`);
  return value.length <= TEXT_LIMIT ? value : refuse(`'${name}' is longer than ${TEXT_LIMIT} characters`);
}

export function readFlag(value: unknown, name: string): boolean {
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  return refuse(`'${name}' is not true or false`);
}

/** @param fallback when it is absent */
export function readCount(value: unknown, name: string, max: number, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max) return value;
  return refuse(`'${name}' is not a number from 1 to ${max}`);
}

export function readTexts(value: unknown, name: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) refuse(`'${name}' is not a list`);
  if (value.length > LIST_LIMIT) refuse(`'${name}' has more than ${LIST_LIMIT} entries`);
  return value.map((entry) => readText(entry, name));
}

/** `true`, `1`, `t` and their opposites, as forms and queries spell them; absent is false. */
export function readQueryFlag(query: URLSearchParams, name: string): boolean {
  const [value, ...more] = query.getAll(name);
  if (value === undefined) return false;
  if (more.length === 0 && /^(1|t|true)$/i.test(value)) return true;
  if (more.length === 0 && /^(0|f|false)$/i.test(value)) return false;
  return refuse(`'${name}' must be true or false, not '${value}'`);
}

export function readQueryTexts(query: URLSearchParams, name: string): readonly string[] {
  return readTexts(query.getAll(name), name);
}

/** @throws {UserError} not `ip/length` */
export function readCidr(text: string): Cidr {
  return parseCidr(text) ?? refuse(`invalid address '${text}'`, "write it as address/prefix length, for example 10.2.1.1/24");
}
