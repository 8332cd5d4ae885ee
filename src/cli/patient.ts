// SPDX-License-Identifier: Apache-2.0
// This host as the checks of `doctor` look at it, with the daemon or without it.
import { hostname } from "node:os";
import { Unreachable } from "../api/client.ts";
import { type Loaded, loadConfig } from "../config/load.ts";
import type { Daemon, Patient } from "../doctor/examine.ts";
import type { Links } from "../host/links.ts";
import { UserError } from "../runtime/errors.ts";
import type { Cli } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";

const ASK_LIMIT_MS = 5_000;
const EXPOSED = "weave:expose";

export async function patientOf(cli: Cli, links: Links): Promise<Patient> {
  const daemon = await findDaemon(cli);
  const { config, misconfigured } = readConfiguration(cli);
  const { version, clock } = cli;
  const exposed = daemon.state === "running" ? await exposedAddresses(cli) : undefined;
  return { version, clock, links, daemon, config, misconfigured, exposed };
}

async function findDaemon(cli: Cli): Promise<Daemon> {
  try {
    return { state: "running", status: await cli.client().call("status", {}, { limitMs: ASK_LIMIT_MS }) };
  } catch (thrown) {
    if (thrown instanceof Unreachable) return { state: thrown.why };
    throw thrown;
  }
}

async function exposedAddresses(cli: Cli): Promise<readonly string[]> {
  const { entries } = await cli.client().call("ps", { words: [] }, { limitMs: ASK_LIMIT_MS });
  return entries.filter(({ id }) => id === EXPOSED).flatMap(({ addresses }) => addresses);
}

function readConfiguration({ env }: Cli): { config: Loaded["config"]; misconfigured: Patient["misconfigured"] } {
  try {
    return { config: loadDaemonConfig({}, [], env).config, misconfigured: undefined };
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    const { config } = loadConfig({ flags: {}, peers: [], env: {}, hostname: hostname() });
    return { config, misconfigured: { message: thrown.message, hint: thrown.hint } };
  }
}
