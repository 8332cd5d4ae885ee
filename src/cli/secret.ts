// SPDX-License-Identifier: Apache-2.0
// Reading a secret that must not stand on a command line: from a file, from what is piped in, or typed without being shown.
import { readFileSync } from "node:fs";
import { fileErrorText, UserError } from "../runtime/errors.ts";

/** A secret is a line; more is not one. */
const SECRET_BYTES_MAX = 4096;

/** The line in `bytes`, without its end. @throws {UserError} it is empty, no text, or longer than a line can be */
export function secretIn(bytes: Uint8Array, where: string): string {
  if (bytes.length > SECRET_BYTES_MAX) throw unusable(where, `it has more than ${SECRET_BYTES_MAX} bytes`);
  const text = decode(bytes, where).replace(/\r?\n$/, "");
  if (text === "") throw unusable(where, "it is empty");
  if (/[\r\n]/.test(text)) throw unusable(where, "it has more than one line");
  return text;
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UserError("bad-request", `cannot take a password from ${where}: it is not UTF-8`, "", { cause });
  }
}

function unusable(where: string, why: string): UserError {
  return new UserError("bad-request", `cannot take a password from ${where}: ${why}`, "give one line with the password");
}

/** @throws {UserError} */
export function secretFromFile(path: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new UserError("bad-request", `cannot read '${path}': ${fileErrorText(cause)}`, "", { cause });
  }
  return secretIn(bytes, `'${path}'`);
}

/** The first line of what was typed, and what follows it; undefined: not at its end yet. `cancelled`: Ctrl-C, or Ctrl-D on nothing. */
export function typedLine(typed: string): { readonly line: string; readonly rest: string } | "cancelled" | undefined {
  const characters = [...typed];
  const line: string[] = [];
  for (const [at, character] of characters.entries()) {
    const isEnd = character === "\r" || character === "\n" || (character === "\u0004" && line.length > 0);
    if (isEnd) return { line: line.join(""), rest: characters.slice(at + 1).join("") };
    if (character === "\u0003" || character === "\u0004") return "cancelled";
    if (character === "\u007f" || character === "\b") line.pop();
    else if (character === "\u0015")
      line.length = 0; // Ctrl-U
    else line.push(character);
  }
  return undefined;
}

/** From standard input: typed twice (once without `confirm`) when that is a terminal, otherwise all that comes. @throws {UserError} */
export async function secretFromStdin(options: { readonly confirm: boolean; say(text: string): void }): Promise<string> {
  if (!process.stdin.isTTY) return secretIn(new Uint8Array(await Bun.stdin.arrayBuffer()), "standard input");
  using terminal = new HiddenTerminal();
  const first = await terminal.ask("Password: ", options.say);
  if (options.confirm && (await terminal.ask("Again: ", options.say)) !== first) {
    throw new UserError("bad-request", "the two passwords differ", "nothing was changed; try again");
  }
  return secretIn(new TextEncoder().encode(first), "the terminal");
}

/** The terminal of standard input, without echo until disposed. */
class HiddenTerminal implements Disposable {
  #typed = "";
  #wake: () => void = () => {};
  readonly #decoder = new TextDecoder();
  readonly #take = (chunk: Uint8Array): void => {
    this.#typed += this.#decoder.decode(chunk, { stream: true });
    this.#wake();
  };
  #isOver = false;
  readonly #end = (): void => {
    this.#isOver = true;
    this.#wake();
  };

  constructor() {
    process.stdin.setRawMode(true);
    process.stdin.on("data", this.#take);
    process.stdin.on("end", this.#end);
  }
  [Symbol.dispose](): void {
    process.stdin.off("data", this.#take);
    process.stdin.off("end", this.#end);
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }

  async ask(prompt: string, say: (text: string) => void): Promise<string> {
    say(prompt);
    for (;;) {
      const typed = this.#isOver ? "cancelled" : typedLine(this.#typed);
      if (typed !== undefined) say("\n");
      if (typed === "cancelled") throw new UserError("bad-request", "no password was given", "nothing was changed");
      if (typed !== undefined) {
        this.#typed = typed.rest;
        return typed.line;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
