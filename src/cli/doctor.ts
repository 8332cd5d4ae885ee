// SPDX-License-Identifier: Apache-2.0
// `weave doctor [--json]`: the examination of this host, with the daemon or without it.
import { hostname } from "node:os";
import { Unreachable } from "../api/client.ts";
import { type Loaded, loadConfig } from "../config/load.ts";
import { CHECKS } from "../doctor/checks.ts";
import { type Daemon, examine, isHealthy, type Patient } from "../doctor/examine.ts";
import { renderFindings } from "../doctor/render.ts";
import { Links } from "../host/links.ts";
import { UserError } from "../runtime/errors.ts";
import { command, JSON_FLAG } from "./command.ts";
import { type Cli, EXIT, outJson } from "./context.ts";
import { loadDaemonConfig } from "./load-daemon-config.ts";

const ASK_LIMIT_MS = 5_000;
const EXPOSED = "weave:expose";

export const doctor = command({
  name: "doctor",
  summary: "examine this host and say what to mend",
  details: `Looks at the service, the kernel, libraries, disk and clock, the firewall and other programs that have their hands on the network, and at the ways to the other hosts. Changes nothing, and works while the daemon does not run. Each finding is ok, bad, or could not be seen (run it as root).
Exit code 1 when something is bad.`,
  args: { ...JSON_FLAG },
  async run(cli, { json }) {
    using links = Links.open();
    const findings = await examine(await patientOf(cli, links), CHECKS);
    if (json) outJson(cli, { healthy: isHealthy(findings), findings });
    else cli.out(renderFindings(findings));
    return isHealthy(findings) ? EXIT.done : EXIT.failed;
  },
});

async function patientOf(cli: Cli, links: Links): Promise<Patient> {
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
