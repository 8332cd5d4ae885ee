// SPDX-License-Identifier: Apache-2.0
// Cuts a Go text/template into tokens. Spaces inside actions are tokens, because `.A.B` and `.A .B` mean different things.

export type TokenKind =
  | "text"
  | "open"
  | "close"
  | "space"
  | "field" // .Name
  | "variable" // $ or $name
  | "identifier"
  | "keyword"
  | "string"
  | "number"
  | "char"
  | "bool"
  | "nil"
  | "dot"
  | "pipe"
  | "("
  | ")"
  | ","
  | ":="
  | "="
  | "end";
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Offset in the template. */
  readonly at: number;
}

/** The template cannot be read; `at` is the offset. */
export class TemplateSyntaxError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.name = "TemplateSyntaxError";
    this.at = at;
  }
}

const KEYWORDS = new Set(["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"]);

/** @throws {TemplateSyntaxError} */
export function lex(source: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  while (at < source.length) {
    const open = source.indexOf("{{", at);
    const stop = open < 0 ? source.length : open;
    const trimHere = open >= 0 && /^\{\{-\s/.test(source.slice(open, open + 4));
    pushText(tokens, source.slice(at, stop), at, { start: trimNext, end: trimHere });
    if (open < 0) break;
    const inside = open + (trimHere ? 3 : 2);
    const comment = lexComment(source, inside);
    if (comment) {
      ({ at, trim: trimNext } = comment);
      continue;
    }
    tokens.push({ kind: "open", text: "{{", at: open });
    ({ at, trim: trimNext } = lexAction(source, inside, tokens));
  }
  tokens.push({ kind: "end", text: "", at: source.length });
  return tokens;
}

function pushText(tokens: Token[], raw: string, at: number, trim: { readonly start: boolean; readonly end: boolean }): void {
  let text = raw;
  if (trim.start) text = text.replace(/^[ \t\r\n]+/, "");
  if (trim.end) text = text.replace(/[ \t\r\n]+$/, "");
  if (text !== "") tokens.push({ kind: "text", text, at });
}

/** Just behind `}}` or ` -}}`. */
interface Closed {
  readonly at: number;
  readonly trim: boolean;
}

function lexComment(source: string, inside: number): Closed | undefined {
  const start = /^\s*\/\*/.exec(source.slice(inside, inside + 16));
  if (!start) return undefined;
  const end = source.indexOf("*/", inside);
  if (end < 0) throw new TemplateSyntaxError("unclosed comment", inside);
  const close = /^(\s+-)?\}\}/.exec(source.slice(end + 2, end + 16));
  if (!close) throw new TemplateSyntaxError("comment ends before closing delimiter", end);
  return { at: end + 2 + close[0].length, trim: close[1] !== undefined };
}

// Longest first where one is the beginning of another. Sticky, so nothing is copied.
const RULES: readonly (readonly [TokenKind, RegExp])[] = [
  ["field", /\.[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["variable", /\$[\p{L}\p{Nd}_]*/uy],
  ["number", /[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)/y],
  ["dot", /\./y],
  ["identifier", /[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["string", /"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`/y],
  ["char", /'(?:[^'\\\n]|\\[^\n])+'/y],
  [":=", /:=/y],
  ["=", /=/y],
  ["pipe", /\|/y],
  ["(", /\(/y],
  [")", /\)/y],
  [",", /,/y],
];

function lexAction(source: string, start: number, tokens: Token[]): Closed {
  let at = start;
  let depth = 0;
  for (;;) {
    const close = /^(\s+-)?\}\}/.exec(source.slice(at, at + 64));
    if (close) {
      if (depth > 0) throw new TemplateSyntaxError("unclosed left paren", at);
      tokens.push({ kind: "close", text: "}}", at });
      return { at: at + close[0].length, trim: close[1] !== undefined };
    }
    if (at >= source.length) throw new TemplateSyntaxError("unclosed action", start);
    const token = lexToken(source, at);
    if (token.kind === "(") depth++;
    if (token.kind === ")" && --depth < 0) throw new TemplateSyntaxError("unexpected right paren", at);
    tokens.push(token);
    at += token.text.length;
  }
}

function lexToken(source: string, at: number): Token {
  const space = sticky(/[ \t\r\n]+/y, source, at);
  if (space !== undefined) return { kind: "space", text: space, at };
  for (const [kind, rule] of RULES) {
    const text = sticky(rule, source, at);
    if (text !== undefined) return word(kind, text, source, at);
  }
  const bad = source[at]!; // at is below the length
  if (bad === '"') throw new TemplateSyntaxError("unterminated quoted string", at);
  if (bad === "`") throw new TemplateSyntaxError("unterminated raw quoted string", at);
  if (bad === "'") throw new TemplateSyntaxError("unterminated character constant", at);
  if (bad === ":") throw new TemplateSyntaxError("expected :=", at);
  const code = (source.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, "0");
  throw new TemplateSyntaxError(`unrecognized character in action: U+${code} '${bad}'`, at);
}

function sticky(rule: RegExp, source: string, at: number): string | undefined {
  rule.lastIndex = at;
  return rule.exec(source)?.[0];
}

function word(kind: TokenKind, text: string, source: string, at: number): Token {
  if (kind === "identifier") {
    if (KEYWORDS.has(text)) return { kind: "keyword", text, at };
    if (text === "true" || text === "false") return { kind: "bool", text, at };
    if (text === "nil") return { kind: "nil", text, at };
  }
  const rest = kind === "number" ? /^[\p{L}\p{Nd}_]+/u.exec(source.slice(at + text.length, at + text.length + 32)) : null;
  if (rest) throw new TemplateSyntaxError(`bad number syntax: "${text}${rest[0]}"`, at);
  return { kind, text, at };
}
