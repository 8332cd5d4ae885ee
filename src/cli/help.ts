// SPDX-License-Identifier: Apache-2.0
// Usage texts, all for stderr: of one command from its definition, of the program from the command table.
import type { ArgSpec } from "./args.ts";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";

/** Characters of a line; what is longer is wrapped. */
const WIDTH = 100;
const LEFT = 30;

export function commandHelp(command: Command): string {
  const usage = command.usage.map((words, index) =>
    `${index === 0 ? "Usage:" : "   or:"} weave ${command.name} ${words}`.trimEnd(),
  );
  const entries = Object.entries(command.args);
  const words = entries.filter(([, spec]) => spec.type === "positional").map(([name, spec]) => row(`<${name}>`, spec));
  const flags = entries.filter(([, spec]) => spec.type !== "positional").map(([name, spec]) => row(flagWords(name, spec), spec));
  const details = command.details === "" ? [] : [wrap(command.details, WIDTH).join("\n")];
  const parts = [`weave ${command.name}: ${command.summary}`, usage.join("\n"), words.join("\n"), flags.join("\n"), ...details];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

export function programHelp(): string {
  const shown = Object.entries(COMMANDS);
  const width = Math.max(...shown.map(([name]) => name.length));
  const lines = shown.map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: weave <command> [flags] [arguments]

${lines.join("\n")}

'weave <command> --help' tells more. Results go to stdout, everything else to stderr.
`;
}

/** `[flags] <first> [<second>...]` */
export function synopsis(args: Command["args"]): string {
  const words = Object.entries(args)
    .filter(([, spec]) => spec.type === "positional")
    .map(([name, spec]) =>
      (spec.required === true ? `<${name}>` : `[<${name}>]`).replace(">", spec.multiple === true ? ">..." : ">"),
    );
  return ["[flags]", ...words].join(" ");
}

function flagWords(name: string, spec: ArgSpec): string {
  const alias = "alias" in spec && typeof spec.alias === "string" ? `-${spec.alias}, ` : "";
  const value = spec.type === "boolean" ? "" : ` ${spec.valueHint ?? "VALUE"}`;
  return `${alias}--${name}${value}`;
}

function row(left: string, { description = "" }: ArgSpec): string {
  const [first = "", ...rest] = wrap(description, WIDTH - LEFT);
  const margin = " ".repeat(LEFT);
  const head = `  ${left}`.padEnd(LEFT);
  const lines = head.length > LEFT ? [head, margin + first] : [head + first];
  return [...lines, ...rest.map((line) => margin + line)].join("\n");
}

/** Breaks at spaces; a line that begins with a space is an example and stays as it is. */
function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => (line.startsWith(" ") ? [line] : wrapLine(line, width)));
}

function wrapLine(line: string, width: number): string[] {
  const lines: string[] = [];
  let current = "";
  for (const word of line.split(" ")) {
    if (current !== "" && current.length + 1 + word.length > width) {
      lines.push(current);
      current = word;
    } else current = current === "" ? word : `${current} ${word}`;
  }
  return [...lines, current];
}
