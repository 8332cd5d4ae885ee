// SPDX-License-Identifier: Apache-2.0
// Go's string, character and number literals.
import { TemplateSyntaxError } from "./lex.ts";

const SIMPLE: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** The value of a quoted or raw string literal. @throws {TemplateSyntaxError} a malformed escape */
export function unquote(text: string, at: number): string {
  if (text.startsWith("`")) return text.slice(1, -1).replaceAll("\r", "");
  // \x and octal escapes are bytes, so the text is put together as UTF-8.
  const bytes: number[] = [];
  const inside = text.slice(1, -1);
  const part = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))|[^\\]+/gsu;
  for (const match of inside.matchAll(part)) {
    const [whole, hex, unicode, long, octal, simple] = match;
    if (!whole.startsWith("\\")) bytes.push(...Buffer.from(whole, "utf8"));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff);
    else bytes.push(...Buffer.from(escaped(unicode ?? long, simple, text, at), "utf8"));
  }
  return Buffer.from(bytes).toString("utf8");
}

function escaped(code: string | undefined, simple: string | undefined, text: string, at: number): string {
  const value = code === undefined ? SIMPLE[simple ?? ""] : codePoint(Number.parseInt(code, 16));
  if (value === undefined) throw new TemplateSyntaxError(`invalid syntax: ${text}`, at);
  return value;
}

function codePoint(code: number): string | undefined {
  return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : undefined;
}

/** A character constant is its code point. @throws {TemplateSyntaxError} */
export function readChar(text: string, at: number): number {
  const [character, ...more] = [...unquote(text, at)];
  if (character === undefined || more.length > 0) throw new TemplateSyntaxError(`malformed character constant: ${text}`, at);
  return character.codePointAt(0) ?? 0;
}

/** Integers beyond 2^53 become bigint, so that a UID can be compared. @throws {TemplateSyntaxError} */
export function readNumber(text: string, at: number): number | bigint {
  const plain = text.replaceAll("_", "");
  const sign = plain.startsWith("-") ? -1 : 1;
  const digits = plain.replace(/^[+-]/, "");
  const octal = /^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits;
  const value = Number(octal);
  if (Number.isNaN(value)) throw new TemplateSyntaxError(`bad number syntax: "${text}"`, at);
  if (Number.isSafeInteger(value) || /[.eE]/.test(digits.replace(/^0[xX].*/, ""))) return sign * value;
  return BigInt(sign) * BigInt(octal);
}
