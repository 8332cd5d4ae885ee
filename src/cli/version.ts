// SPDX-License-Identifier: Apache-2.0
// `weave version`. The plain form is answered by main.ts before anything is loaded; this one asks the daemon too.
import { arch, release } from "node:os";
import { Unreachable } from "../api/client.ts";
import type { StatusModel } from "../api/status.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { readOnlyClient } from "./read-only.ts";

export const version = command({
  name: "version",
  summary: "print the version",
  args: {
    verbose: { type: "boolean", description: "also of the running daemon, and what of this host both work with" },
    ...JSON_FLAG,
  },
  async run(cli, { verbose, json }) {
    const daemon = verbose || json ? await askDaemon(cli) : undefined;
    const surroundings = verbose ? await lookAround(daemon?.switch) : undefined;
    if (json) {
      outJson(cli, { version: cli.version, daemonVersion: daemon?.version ?? null, ...(surroundings && { surroundings }) });
      return EXIT.done;
    }
    const lines = [`weave ${cli.version}`, ...(daemon === undefined ? [] : [`daemon ${daemon.version ?? daemon.why}`])];
    for (const [name, value] of Object.entries(surroundings ?? {})) lines.push(`${name} ${value}`);
    cli.out(`${lines.join("\n")}\n`);
    return EXIT.done;
  },
});

/** Libraries as the daemon would load them, or does. */
async function lookAround(switchKind: string | undefined): Promise<Record<string, string>> {
  const { libraryStates, wireguardState } = await import("../host/inspection.ts");
  const libraries = libraryStates().map(({ name, found, missing, packages }) => [
    name,
    found ?? `${missing}; install ${packages}`,
  ]);
  return {
    runtime: `Bun ${Bun.version}`,
    kernel: `Linux ${release()} ${arch()}`,
    switch: switchKind ?? "unknown: only a running daemon has one",
    wireguard: wireguardState() ?? "yes",
    ...Object.fromEntries(libraries),
  };
}

const WHY: Record<Unreachable["why"], string> = {
  absent: "not running",
  denied: "unknown: no permission to ask it",
  silent: "does not answer",
};

/** Which object of the switch the kernel took, and where it sits: `full, tcx`. */
function switchText({ overlayDiagnostics, interface: name }: StatusModel["router"]): string {
  const { Object: object, Attach: attach } = (overlayDiagnostics["fastdp"] ?? {}) as {
    readonly Object?: string;
    readonly Attach?: string;
  };
  return object === undefined ? name : `${name}: object '${object}', attached by ${attach}`;
}

async function askDaemon(cli: Cli): Promise<{ readonly version?: string; readonly switch?: string; readonly why?: string }> {
  try {
    const { version, router } = await readOnlyClient(cli, (client) => client.call("status", {}, { limitMs: 3_000 }));
    return { version, switch: switchText(router) };
  } catch (thrown) {
    if (thrown instanceof Unreachable) return { why: WHY[thrown.why] };
    throw thrown;
  }
}
