// SPDX-License-Identifier: Apache-2.0
// A command: a citty definition (its name, words and help) with our strict reading of arguments and one function to run.
import { type CommandDef, defineCommand } from "citty";
import { type ArgSpecs, type ParsedArgs, parseArgs, type RawArgs, splitArgs } from "./args.ts";
import type { Cli } from "./context.ts";
import { synopsis } from "./help.ts";

export interface CommandSpec<Specs extends ArgSpecs> {
  readonly name: string;
  /** One line: what it does for the user. */
  readonly summary: string;
  /** What follows the name, one for each form; made from the words when it is left out. */
  readonly usage?: readonly string[];
  /** Further help; wrapped, but lines that begin with a space. */
  readonly details?: string;
  readonly args: Specs;
  /** Rewrites old spellings before anything else looks at the words. */
  translate?(cli: Cli, argv: readonly string[]): readonly string[];
  /** Exit code when the words do not fit; 1 otherwise. */
  readonly usageExit?: number;
  /** @param raw the words before their kinds were applied: tells a flag that was given from one that was not */
  run(cli: Cli, args: ParsedArgs<Specs>, raw: RawArgs): Promise<number>;
}

export interface Command {
  /** For citty: help pages and completions are made from it. */
  readonly definition: CommandDef<ArgSpecs>;
  readonly name: string;
  readonly usage: readonly string[];
  readonly summary: string;
  readonly details: string;
  readonly args: ArgSpecs;
  readonly usageExit: number;
  /** @throws {UsageError} before anything was done */
  execute(cli: Cli, argv: readonly string[]): Promise<number>;
}

/** Understood by every command. */
const BUILT_IN = { help: { type: "boolean", description: "show this text" } } as const satisfies ArgSpecs;

export function command<const Specs extends ArgSpecs>(spec: CommandSpec<Specs>): Command {
  const { name, summary, details = "", usageExit = 1 } = spec;
  const args: ArgSpecs = { ...spec.args, ...BUILT_IN };
  return {
    name,
    usage: spec.usage ?? [synopsis(spec.args)],
    summary,
    details,
    args,
    usageExit,
    definition: defineCommand({ meta: { name: `weave ${name}`, description: summary }, args: { ...args } }),
    execute(cli, argv) {
      const raw = splitArgs(args, spec.translate?.(cli, argv) ?? argv);
      return spec.run(cli, parseArgs(spec.args, raw), raw);
    },
  };
}

/** For commands that print a result. */
export const JSON_FLAG = { json: { type: "boolean", description: "print the result as JSON" } } as const satisfies ArgSpecs;
