// SPDX-License-Identifier: Apache-2.0
// Containers that Docker was to start and could not, because our plugin was not there: after a boot or a restart of its own it tries each once, waits 15 s
// for the plugin, and never comes back to those that failed (seen with Docker 20.10). Whoever said `--restart=always` wants them to run all the same.
import { errorText, UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { DockerClient } from "./client.ts";
import { fields, list, text } from "./decode.ts";

/** They ran before; what was never started is left to who made it. */
const STOPPED = `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ status: ["exited"] }))}`;
/** Docker's own words, `plugin "weavemesh" not found` or an address below its socket, and those of our answers. */
const FOR_OUR_SAKE = /\bweavemesh\b|\bweave: /;

export class Stranded {
  readonly #docker: Pick<DockerClient, "json" | "start">;
  readonly #log: Log;
  /** By container, why it could not be started, which is said once. */
  #told = new Map<string, string>();

  constructor(docker: Pick<DockerClient, "json" | "start">, log: Log) {
    this.#docker = docker;
    this.#log = log;
  }

  /** Starts them one after the other. Without Docker there are none. */
  async start(): Promise<void> {
    try {
      const told = new Map<string, string>();
      for (const { id, name } of await this.#find()) {
        const reason = await this.#startOne(id);
        if (reason === "") this.#log.info("docker container started that could not start without weave", { container: name });
        else told.set(id, reason);
        if (reason !== "" && this.#told.get(id) !== reason) {
          this.#log.warn("docker container cannot be started", { container: name, reason });
        }
      }
      this.#told = told;
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown; // Docker went away; with it come those that it cannot start then
    }
  }

  /** Only those with a restart policy: Docker tries no others by itself, and who starts one by hand is told at once. */
  async #find(): Promise<{ readonly id: string; readonly name: string }[]> {
    const found: { id: string; name: string }[] = [];
    for (const entry of list(await this.#docker.json(STOPPED, "list containers"))) {
      const id = text(fields(entry)["Id"]);
      const container = fields(await this.#docker.json(`/containers/${encodeURIComponent(id)}/json`, "inspect a container"));
      const policy = text(fields(fields(container["HostConfig"])["RestartPolicy"])["Name"]);
      if (policy === "" || policy === "no" || !FOR_OUR_SAKE.test(text(fields(container["State"])["Error"]))) continue;
      found.push({ id, name: text(container["Name"]).replace(/^\//, "") || id.slice(0, 12) });
    }
    return found;
  }

  /** Why it does not run; empty: it does. */
  async #startOne(id: string): Promise<string> {
    try {
      await this.#docker.start(id);
      return "";
    } catch (thrown) {
      return errorText(thrown);
    }
  }
}
