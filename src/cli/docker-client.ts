// SPDX-License-Identifier: Apache-2.0
// The docker command, for the forms of old that start containers: what it says goes where ours goes, what it refuses is refused.
import { UserError } from "../runtime/errors.ts";
import type { Cli } from "./context.ts";

/** Runs it to its end and returns its output. Past the proxy, because the caller attaches the container itself. @throws {UserError} it failed */
export async function docker(cli: Cli, ...words: readonly string[]): Promise<string> {
  const environment = { ...cli.env, DOCKER_HOST: await dockerHost(cli) };
  const path = cli.env["PATH"];
  if (Bun.which("docker", path === undefined ? {} : { PATH: path }) === null) {
    throw new UserError("unavailable", "there is no 'docker' command on this host", "install Docker's command-line client");
  }
  const child = Bun.spawn(["docker", ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: environment });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if (err !== "") cli.err(err.endsWith("\n") ? err : `${err}\n`);
  if ((await child.exited) !== 0) throw new UserError("unavailable", `docker ${words[0]} failed`, "what it says stands above");
  return out.trim();
}

/** The Docker that the daemon of this host uses. */
async function dockerHost(cli: Cli): Promise<string> {
  const { config } = await cli.client().call("status", {});
  const endpoint = config["dockerApi"];
  if (typeof endpoint === "string" && endpoint !== "") return endpoint;
  throw new UserError("unavailable", "weave runs without Docker on this host", "launch it with --docker-api");
}

/** Attaches a container that Docker has just started. */
export async function attachStarted(cli: Cli, name: string, container: string, addresses: readonly string[]): Promise<void> {
  const request = { target: `container:${container}`, tap: false, addresses, noMulticastRoute: false, noSpoofCheck: false };
  const { warnings = [] } = await cli
    .client()
    .call("attach", { ...request, rewriteHosts: false, addHosts: [], withoutDns: false });
  for (const warning of warnings) cli.err(`weave ${name}: warning: ${warning}\n`);
}
