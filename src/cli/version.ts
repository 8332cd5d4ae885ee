// SPDX-License-Identifier: Apache-2.0
// `weave version`. The plain form is answered by main.ts before anything is loaded; this one asks the daemon too.
import { Unreachable } from "../api/client.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { readOnlyClient } from "./read-only.ts";

export const version = command({
  name: "version",
  summary: "print the version",
  args: { verbose: { type: "boolean", description: "also of the running daemon" }, ...JSON_FLAG },
  async run(cli, { verbose, json }) {
    const daemon = verbose || json ? await askDaemon(cli) : undefined;
    if (json) outJson(cli, { version: cli.version, daemonVersion: daemon?.version ?? null });
    else cli.out(`weave ${cli.version}\n${daemon === undefined ? "" : `daemon ${daemon.version ?? daemon.why}\n`}`);
    return EXIT.done;
  },
});

const WHY: Record<Unreachable["why"], string> = {
  absent: "not running",
  denied: "unknown: no permission to ask it",
  silent: "does not answer",
};

async function askDaemon(cli: Cli): Promise<{ readonly version?: string; readonly why?: string }> {
  try {
    const { version } = await readOnlyClient(cli, (client) => client.call("status", {}, { limitMs: 3_000 }));
    return { version };
  } catch (thrown) {
    if (thrown instanceof Unreachable) return { why: WHY[thrown.why] };
    throw thrown;
  }
}
