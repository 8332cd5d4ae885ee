// SPDX-License-Identifier: Apache-2.0
// `weave daemon [flags] [<peer>...]`: this process becomes the daemon. Flags win over what `launch` stored.
import { command } from "./command.ts";
import { type Cli, EXIT } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";
import { dropOldRange, translateOldFlags } from "./old-flags.ts";
import { givenOptions, OPTION_FLAGS } from "./option-flags.ts";
import { requireDaemonPrivileges } from "./privileges.ts";

export const daemon = command({
  name: "daemon",
  summary: "run in the foreground, as the service does",
  details: "Logs to stderr. Options that are not given here are taken from what launch stored, then from the environment.",
  args: {
    peer: { type: "positional", required: false, multiple: true, description: "host[:port], any number" },
    ...OPTION_FLAGS,
  },
  usageExit: EXIT.badDaemonFlag,
  translate: (cli, argv) => translateOldFlags(argv, warning(cli)),
  async run(cli, _args, { flags, words }) {
    const peers = dropOldRange(words, warning(cli));
    const load = () => loadDaemonConfig(givenOptions(flags), peers, cli.env).config;
    const config = load();
    await requireDaemonPrivileges(cli);
    const { runDaemon } = await import("../daemon/start.ts");
    await runDaemon(config, cli.version, load);
    return EXIT.done;
  },
});

function warning(cli: Cli): (sentence: string) => void {
  return (sentence) => cli.err(`weave daemon: ${sentence}\n`);
}
