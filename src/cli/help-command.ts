// SPDX-License-Identifier: Apache-2.0
// `weave help [<command>]`, on stderr as Weave Net's was.
import { UsageError } from "./args.ts";
import { command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { EXIT } from "./context.ts";
import { commandHelp, programHelp } from "./help.ts";

export const help = command({
  name: "help",
  summary: "print this list, or the help of a command",
  args: { command: { type: "positional", required: false, description: "one of the list" } },
  async run(cli, { command: name }) {
    const found = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (name !== undefined && found === undefined) throw new UsageError(`there is no command '${name}'`);
    cli.err(found === undefined ? programHelp() : commandHelp(await found.load()));
    return EXIT.done;
  },
});
