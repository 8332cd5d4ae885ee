// SPDX-License-Identifier: Apache-2.0
// Usage texts, all for stderr: of one command by citty from its definition, of the program from the command table.
import { renderUsage } from "citty";
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";

/** @param color for a terminal */
export async function commandHelp(command: Command, color: boolean): Promise<string> {
  const usage = await renderUsage(command.definition);
  const text = `${usage.trimEnd()}\n${command.details === "" ? "" : `\n${command.details.trim()}\n`}`;
  return color ? text : Bun.stripANSI(text);
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
