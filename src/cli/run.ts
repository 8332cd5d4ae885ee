// SPDX-License-Identifier: Apache-2.0
// The command line: finds the command, runs it, turns what went wrong into a message on stderr and an exit code. Nothing else decides on
// streams and codes.
import { ApiClient, Unreachable } from "../api/client.ts";
import { MissingFeature } from "../api/contract.ts";
import { API_SOCKET } from "../api/listen.ts";
import { didYouMean } from "../config/nearest.ts";
import { MalformedValue } from "../config/option.ts";
import { parseListenAddress } from "../config/values.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { UsageError } from "./args.ts";
import type { Command } from "./command.ts";
import { COMMANDS, NOT_YET, REMOVED } from "./commands.ts";
import { type Cli, EXIT } from "./context.ts";
import { commandHelp, programHelp } from "./help.ts";
import { unreachableWords } from "./unreachable.ts";

/** Runs one command line (without the program's name). Never throws; returns the exit code. */
export async function runCli(cli: Cli, argv: readonly string[]): Promise<number> {
  // In Weave Net `--local` meant "not in the helper container". There is none, so it changes nothing.
  const [name, ...words] = argv[0] === "--local" ? argv.slice(1) : argv;
  if (name === undefined || name === "--help" || name === "-h") {
    cli.err(programHelp());
    return name === undefined ? EXIT.failed : EXIT.done;
  }
  const found = own(COMMANDS, name === "--version" ? "version" : name);
  if (found === undefined) return unknownCommand(cli, name);
  const command = await found.load();
  try {
    if (!wantsHelp(words)) return await command.execute(cli, words);
    cli.err(commandHelp(command));
    return EXIT.done;
  } catch (thrown) {
    return failed(cli, command, thrown);
  }
}

function wantsHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return (end < 0 ? words : words.slice(0, end)).includes("--help");
}

/** The entry of that name; what every object inherits is none. */
function own<Entry>(table: Readonly<Record<string, Entry>>, name: string): Entry | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function unknownCommand(cli: Cli, name: string): number {
  const instead = own(REMOVED, name);
  if (instead !== undefined) {
    cli.err(`The command 'weave ${name}' was removed in Weave Net 2.0.\nUse instead: ${instead}\n`);
    return EXIT.failed;
  }
  const missing = own(NOT_YET, name);
  if (missing !== undefined) {
    cli.err(`weave ${name}: this build does not have ${missing.service} yet\n`);
    return missing.exit;
  }
  const hint = didYouMean(name, Object.keys(COMMANDS), (known) => `weave ${known}`);
  cli.err(`weave: unknown command '${name}'${hint === "" ? "" : `; ${hint}`}\n\n${programHelp()}`);
  return EXIT.failed;
}

function failed(cli: Cli, command: Command, thrown: unknown): number {
  const say = (message: string, hint: string) => cli.err(`weave ${command.name}: ${message}${hint === "" ? "" : `; ${hint}`}\n`);
  if (thrown instanceof MalformedValue || (thrown instanceof UsageError && command.usageExit === EXIT.badDaemonFlag)) {
    say(thrown.message, thrown.hint);
    cli.err(`see 'weave ${command.name} --help'\n`);
    return command.usageExit;
  }
  if (thrown instanceof UsageError) {
    say(thrown.message, thrown.hint);
    cli.err(`\n${commandHelp(command)}`);
    return command.usageExit;
  }
  if (thrown instanceof Unreachable) {
    say(...unreachableWords(thrown));
    return EXIT.unreachable;
  }
  if (thrown instanceof UserError) {
    say(thrown.message, thrown.hint);
    return thrown instanceof MissingFeature ? EXIT.missingFeature : EXIT.failed;
  }
  say(errorText(thrown), "");
  return EXIT.failed;
}

/** The client of the daemon named by WEAVE_HTTP_ADDR, or of this host's. */
export function clientFrom(env: Cli["env"]): ApiClient {
  const text = env["WEAVE_HTTP_ADDR"] ?? "";
  const listen = parseListenAddress(text);
  if (listen === undefined) {
    throw new UserError("bad-request", `cannot read WEAVE_HTTP_ADDR '${text}'`, "write host:port or the path of a socket");
  }
  return new ApiClient(listen ?? { kind: "unix", path: API_SOCKET });
}
