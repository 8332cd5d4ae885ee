// SPDX-License-Identifier: Apache-2.0
// Tokens -> tree, by recursive descent. Undefined functions and variables are found here, as Go does, not when they are reached.
import { FUNCTION_NAMES } from "./functions.ts";
import { lex, TemplateSyntaxError, type Token, type TokenKind } from "./lex.ts";
import { readChar, readNumber, unquote } from "./literals.ts";
import type { Command, Node, Operand, Pipe } from "./nodes.ts";

/** Blocks and parentheses inside each other. */
const DEPTH_LIMIT = 100;

/** @throws {TemplateSyntaxError} */
export function parseTemplate(source: string): readonly Node[] {
  const parser = new Parser(source, lex(source));
  const { nodes, stop } = parser.list();
  if (stop !== "end of template") throw new TemplateSyntaxError(`unexpected {{${stop}}}`, parser.at);
  return nodes;
}

type Stop = "end" | "else" | "end of template";

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  #ranges = 0;
  #variables: string[] = ["$"];

  constructor(source: string, tokens: readonly Token[]) {
    this.#source = source;
    this.#tokens = tokens;
  }

  get at(): number {
    return this.#peek().at;
  }

  /** Nodes up to {{end}}, {{else or the end of the template; the keyword is taken, what follows it is not. */
  list(): { nodes: readonly Node[]; stop: Stop } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.kind === "end") return { nodes, stop: "end of template" };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      this.#skipSpace();
      const word = this.#peek();
      if (word.kind === "keyword" && (word.text === "end" || word.text === "else")) {
        this.#take();
        return { nodes, stop: word.text };
      }
      nodes.push(this.#action());
    }
  }

  #action(): Node {
    const word = this.#peek();
    if (word.kind !== "keyword") {
      const pipe = this.#pipe("command", "close");
      return { kind: "action", pipe };
    }
    this.#take();
    switch (word.text) {
      case "if":
      case "with":
      case "range":
        return this.#block(word.text);
      case "break":
      case "continue":
        if (this.#ranges === 0) this.#fail(`{{${word.text}}} outside {{range}}`, word.at);
        this.#close(`in {{${word.text}}}`);
        return { kind: word.text };
      default:
        return this.#fail(`{{${word.text}}} is not supported here`, word.at);
    }
  }

  #block(kind: "if" | "with" | "range"): Node {
    this.#enter();
    const visible = this.#variables.length;
    const pipe = this.#pipe(kind, "close");
    if (kind === "range") this.#ranges++;
    const { nodes: body, stop } = this.list();
    if (kind === "range") this.#ranges--;
    if (stop === "end of template") this.#fail("unexpected EOF", this.at);
    const otherwise = stop === "else" ? this.#otherwise(kind) : [];
    if (stop === "end") this.#close("in end");
    this.#variables.length = visible;
    this.#depth--;
    return { kind, pipe, body, otherwise };
  }

  #otherwise(kind: "if" | "with" | "range"): readonly Node[] {
    const spaced = this.#peek().kind === "space";
    this.#skipSpace();
    const word = this.#peek();
    if (spaced && word.kind === "keyword" && word.text === kind && kind !== "range") {
      this.#take();
      return [this.#block(kind)]; // {{else if}} shares the {{end}}
    }
    this.#close("in else");
    const { nodes, stop } = this.list();
    if (stop === "else") this.#fail("expected end; found {{else}}", this.at);
    if (stop === "end of template") this.#fail("unexpected EOF", this.at);
    this.#close("in end");
    return nodes;
  }

  #pipe(context: string, end: "close" | ")"): Pipe {
    this.#skipSpace();
    const start = this.#peek();
    const { variables, declares } = this.#declaration(context);
    const commands: Command[] = [];
    for (;;) {
      this.#skipSpace();
      const token = this.#peek();
      if (token.kind === end) break;
      commands.push(this.#command(context));
      this.#skipSpace();
      const next = this.#peek();
      if (next.kind === "pipe") {
        this.#take();
        this.#skipSpace();
        if (this.#peek().kind === end) this.#fail(`missing value for ${context}`, this.at);
      } else if (next.kind !== end) this.#unexpected(next, context);
    }
    if (commands.length === 0) this.#fail(`missing value for ${context}`, this.at);
    for (const [index, command] of commands.entries()) this.#checkStage(command, index);
    const pipe = { variables, declares, commands, at: start.at, text: this.#textFrom(start) };
    this.#take();
    if (declares) this.#variables.push(...variables);
    return pipe;
  }

  #checkStage({ operands, at }: Command, index: number): void {
    const kind = operands[0]?.kind;
    if (index > 0 && (kind === "constant" || kind === "nil" || kind === "dot")) {
      this.#fail(`non executable command in pipeline stage ${index + 1}`, at);
    }
  }

  #declaration(context: string): { variables: readonly string[]; declares: boolean } {
    const start = this.#next;
    const variables: string[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind !== "variable" || token.text === "$") break;
      this.#take();
      this.#skipSpace();
      variables.push(token.text);
      const next = this.#peek();
      if (next.kind === ":=" || next.kind === "=") {
        this.#take();
        if (next.kind === "=") for (const name of variables) this.#known(name, token.at);
        return { variables, declares: next.kind === ":=" };
      }
      if (next.kind !== "," || context !== "range" || variables.length === 2) break;
      this.#take();
      this.#skipSpace();
    }
    this.#next = start;
    return { variables: [], declares: false };
  }

  #command(context: string): Command {
    const start = this.#peek();
    const operands: Operand[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind === "pipe" || token.kind === "close" || token.kind === ")") break;
      operands.push(this.#operand(context));
      if (this.#peek().kind !== "space") break;
      this.#skipSpace();
    }
    if (operands.length === 0) this.#fail("empty command", start.at);
    return { operands, at: start.at, text: this.#textFrom(start) };
  }

  #operand(context: string): Operand {
    const start = this.#take();
    const base = this.#term(start, context);
    const fields: string[] = [];
    const second = this.#peek();
    while (this.#peek().kind === "field") fields.push(this.#take().text.slice(1));
    if (fields.length === 0) return { ...base, text: this.#textFrom(start) };
    if (base.kind !== "fields" && base.kind !== "variable" && base.kind !== "pipe") {
      this.#fail(`unexpected . after term ${JSON.stringify(start.text)}`, start.at);
    }
    // Go names the place of the second field of a chain.
    return { ...base, fields: [...base.fields, ...fields], at: second.at, text: this.#textFrom(start) };
  }

  #term(token: Token, context: string): Operand {
    const { at, text } = token;
    switch (token.kind) {
      case "dot":
        return { kind: "dot", at, text };
      case "nil":
        return { kind: "nil", at, text };
      case "bool":
        return { kind: "constant", value: text === "true", at, text };
      case "string":
        return { kind: "constant", value: unquote(text, at), at, text };
      case "char":
        return { kind: "constant", value: readChar(text, at), at, text };
      case "number":
        return { kind: "constant", value: readNumber(text, at), at, text };
      case "field":
        return { kind: "fields", fields: [text.slice(1)], at, text };
      case "variable":
        this.#known(text, at);
        return { kind: "variable", name: text, fields: [], at, text };
      case "identifier":
        if (!FUNCTION_NAMES.has(text)) this.#fail(`function ${JSON.stringify(text)} not defined`, at);
        return { kind: "function", name: text, at, text };
      case "(": {
        this.#enter();
        const pipe = this.#pipe("parenthesized pipeline", ")");
        this.#depth--;
        return { kind: "pipe", pipe, fields: [], at, text };
      }
      default:
        return this.#unexpected(token, context === "command" ? "operand" : context);
    }
  }

  #known(name: string, at: number): void {
    if (!this.#variables.includes(name)) this.#fail(`undefined variable ${JSON.stringify(name)}`, at);
  }

  #enter(): void {
    if (++this.#depth > DEPTH_LIMIT) this.#fail(`more than ${DEPTH_LIMIT} blocks inside each other`, this.at);
  }

  #close(context: string): void {
    this.#skipSpace();
    const token = this.#take();
    if (token.kind !== "close") this.#unexpected(token, context.replace(/^in /, ""));
  }

  #unexpected(token: Token, context: string): never {
    const what: Partial<Record<TokenKind, string>> = { end: "EOF", close: '"}}"' };
    return this.#fail(`unexpected ${what[token.kind] ?? `<${token.text}>`} in ${context}`, token.at);
  }

  #fail(message: string, at: number): never {
    throw new TemplateSyntaxError(message, at);
  }

  #textFrom(start: Token): string {
    return this.#source.slice(start.at, this.#peek().at).trim();
  }

  #peek(): Token {
    return this.#tokens[Math.min(this.#next, this.#tokens.length - 1)]!; // lex always ends with an end token
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #skipSpace(): void {
    while (this.#peek().kind === "space") this.#next++;
  }
}
