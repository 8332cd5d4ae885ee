// SPDX-License-Identifier: Apache-2.0
// Changes single values of a JSON text and leaves everything else as it stands: unknown fields, their order, numbers of any size. Field names fit
// whatever their case and the last of several counts, because that is how Docker reads them.

/** A JSON object as it was written. */
export class JsonText {
  #text: string;

  /** @throws {SyntaxError} it is not JSON, or no object */
  constructor(text: string) {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("not a JSON object");
    this.#text = text;
  }

  get text(): string {
    return this.#text;
  }

  /** undefined: there is no such field. */
  get(...path: readonly string[]): unknown {
    const span = this.#find(path);
    return span && JSON.parse(this.#text.slice(span.from, span.to));
  }

  /** Objects on the way that are missing or null are made. */
  set(path: readonly string[], value: unknown): void {
    let depth = path.length;
    while (depth > 0 && this.#object(path.slice(0, depth - 1)) === undefined) depth--;
    // Everything below the deepest object that is there.
    const parent = path.slice(0, depth - 1);
    const nested = path.slice(depth).reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
    const name = path[depth - 1] ?? "";
    const text = JSON.stringify(nested);
    const span = this.#find([...parent, name]);
    if (span) this.#splice(span.from, span.to, text);
    else {
      const object = this.#object(parent);
      const begin = object?.from ?? 0;
      const isEmpty = skipSpace(this.#text, begin + 1) === (object?.to ?? 0) - 1;
      this.#splice(begin + 1, begin + 1, `${JSON.stringify(name)}:${text}${isEmpty ? "" : ","}`);
    }
  }

  #splice(from: number, to: number, text: string): void {
    this.#text = this.#text.slice(0, from) + text + this.#text.slice(to);
  }

  #object(path: readonly string[]): Span | undefined {
    const span = this.#find(path);
    return span && this.#text[span.from] === "{" ? span : undefined;
  }

  #find(path: readonly string[]): Span | undefined {
    const from = skipSpace(this.#text, 0);
    let span: Span | undefined = { from, to: skipValue(this.#text, from) };
    for (const name of path) {
      if (span === undefined || this.#text[span.from] !== "{") return undefined;
      span = memberOf(this.#text, span.from, name);
    }
    return span;
  }
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function memberOf(text: string, object: number, wanted: string): Span | undefined {
  let found: Span | undefined;
  let at = skipSpace(text, object + 1);
  while (text[at] !== "}") {
    const keyEnd = skipValue(text, at);
    const key: unknown = JSON.parse(text.slice(at, keyEnd));
    const from = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const to = skipValue(text, from);
    if (String(key).toLowerCase() === wanted.toLowerCase()) found = { from, to };
    at = skipSpace(text, to);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

// From here on the text is known to be JSON.

function skipSpace(text: string, at: number): number {
  while (/[ \t\r\n]/.test(text[at] ?? "")) at++;
  return at;
}

function skipValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return skipString(text, at);
  if (first !== "{" && first !== "[") {
    while (at < text.length && !/[,\]} \t\r\n]/.test(text[at] ?? "")) at++;
    return at;
  }
  let depth = 0;
  for (; ; at++) {
    const char = text[at];
    if (char === '"') at = skipString(text, at) - 1;
    else if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) return at + 1;
  }
}

function skipString(text: string, at: number): number {
  for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
  return at + 1;
}
