// SPDX-License-Identifier: Apache-2.0
// `weave launch [flags] [<peer>...]`: everything is read and checked first; then the options are stored and the daemon is started.
import { hostname } from "node:os";
import type { Health } from "../api/status.ts";
import { readConfigFile } from "../config/config-file.ts";
import { type LaunchFile, readLaunchFile, removeLaunchFile, writeLaunchFile } from "../config/launch-file.ts";
import { type DaemonConfig, type Loaded, loadConfig } from "../config/load.ts";
import type { Option } from "../config/option.ts";
import { OPTION_KEYS, OPTIONS } from "../config/options.ts";
import { UserError } from "../runtime/errors.ts";
import { systemRandom } from "../runtime/random.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { dropOldRange, translateOldFlags } from "./old-flags.ts";
import { givenOptions, OPTION_FLAGS } from "./option-flags.ts";
import { requireDaemonPrivileges } from "./privileges.ts";
import { READY_LIMIT_MS, runningDaemon, StillStarting, startDaemon } from "./service.ts";
import { until } from "./wait.ts";

export const launch = command({
  name: "launch",
  summary: "start weave on this host and connect it to peers",
  details: `A peer is host[:port]. Options are kept and used again when the daemon restarts; the next launch begins with none of them. Prints the name of this peer.`,
  args: {
    peer: { type: "positional", required: false, multiple: true, description: "host[:port], any number" },
    ...OPTION_FLAGS,
    ...JSON_FLAG,
  },
  usageExit: EXIT.badDaemonFlag,
  translate: (cli, argv) => translateOldFlags(argv, warning(cli)),
  async run(cli, _args, { flags, words }) {
    const peers = dropOldRange(words, warning(cli));
    const administrators = readConfigFile();
    const loaded = loadConfig({ flags: givenOptions(flags), peers, env: cli.env, hostname: hostname(), administrators });
    await requireDaemonPrivileges(cli);
    using _ = await onlyLaunch(cli);
    const running = await runningDaemon();
    if (running !== undefined) {
      const which = `${running.name}, pid ${running.pid}`;
      cli.err(`weave launch: weave is already running on this host (${which}); stop it first with 'weave stop'\n`);
      return EXIT.alreadyRunning;
    }
    for (const sentence of passwordWarnings(flags.get("password") ?? [], loaded.config)) warning(cli)(`warning: ${sentence}`);
    printIdentity(cli, await storeAndStart(cli, loaded), flags.get("json")?.[0] === "true");
    return EXIT.done;
  },
});

function warning(cli: Cli): (sentence: string) => void {
  return (sentence) => cli.err(`weave launch: ${sentence}\n`);
}

/** Another launch on this host is waited for; afterwards its daemon runs. @throws {UserError} it takes too long */
async function onlyLaunch(cli: Cli): Promise<Disposable> {
  const { lockLaunch } = await import("../daemon/lock.ts");
  const lock = await until(cli.clock, { everyMs: 50, limitMs: READY_LIMIT_MS }, () => lockLaunch());
  if (lock !== undefined) return lock;
  throw new UserError(
    "conflict",
    "another 'weave launch' is under way on this host",
    "see whether it hangs with 'ps', and try again",
  );
}

function passwordWarnings(given: readonly string[], { passwords }: DaemonConfig): string[] {
  return passwords.length === 0 && given.length > 0 ? ["an empty password is none: every host may connect"] : [];
}

async function storeAndStart(cli: Cli, loaded: Loaded): Promise<Health> {
  const { dataDir } = loaded.config;
  const before = readForUndo(dataDir);
  writeLaunchFile(dataDir, launchFileOf(loaded));
  try {
    return await startDaemon(cli, loaded.config);
  } catch (thrown) {
    // A daemon that cannot run with these options must not meet them again at the next boot.
    if (!(thrown instanceof StillStarting)) {
      if (before === undefined) removeLaunchFile(dataDir);
      else writeLaunchFile(dataDir, before);
    }
    throw thrown;
  }
}

// A damaged file is replaced by this launch; there is nothing to go back to then.
function readForUndo(dataDir: string): LaunchFile | undefined {
  try {
    return readLaunchFile(dataDir);
  } catch {
    return undefined;
  }
}

/** What was given by flag or environment; the daemon under a service manager does not see our environment. */
function launchFileOf({ config, origins }: Loaded): LaunchFile {
  const options: Partial<Record<keyof typeof OPTIONS, readonly string[]>> = {};
  for (const key of OPTION_KEYS) {
    if (origins[key] === "default" || origins[key] === "config" || key === "dataDir") continue; // the file lies in it
    const option = OPTIONS[key] as Option<unknown>; // its own value, formatted by itself
    options[key] = option.format(config[key]);
  }
  const launchId = systemRandom
    .below(2 ** 48)
    .toString(16)
    .padStart(12, "0");
  return { launchId, options, peers: config.peers };
}

function printIdentity(cli: Cli, { name, nickname, pid, version }: Health, json: boolean): void {
  if (json) outJson(cli, { name, nickname, pid, version });
  else cli.out(`${name}\n`);
}
