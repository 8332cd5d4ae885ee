// SPDX-License-Identifier: Apache-2.0
// `weave version`. The plain form is answered by main.ts before anything is loaded; this one asks the daemon too.
import { Unreachable } from "../api/client.ts";
import { command, JSON_FLAG } from "./command.ts";
import { EXIT, outJson } from "./context.ts";

export const version = command({
  name: "version",
  summary: "print the version",
  args: { verbose: { type: "boolean", description: "also of the running daemon" }, ...JSON_FLAG },
  async run(cli, { verbose, json }) {
    const daemon = verbose || json ? await daemonVersion(cli) : undefined;
    if (json) outJson(cli, { version: cli.version, daemonVersion: daemon ?? null });
    else cli.out(`weave ${cli.version}\n${verbose ? `daemon ${daemon ?? "not running"}\n` : ""}`);
    return EXIT.done;
  },
});

async function daemonVersion(cli: Parameters<typeof version.execute>[0]): Promise<string | undefined> {
  try {
    return (await cli.client().call("health", {}, { limitMs: 1_000 })).version;
  } catch (thrown) {
    if (thrown instanceof Unreachable) return undefined;
    throw thrown;
  }
}
