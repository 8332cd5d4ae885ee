// SPDX-License-Identifier: Apache-2.0
// Containers that Docker was to start and could not, because our plugin was not there: after a boot or a restart of its own it tries each once, waits 15 s
// for the plugin, and never comes back to those that failed (seen with Docker 20.10). Whoever said `--restart=always` wants them to run all the same.
import { UserError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { DockerClient } from "./client.ts";
import type { ContainerDetails } from "./details.ts";

/** Docker's own words, `plugin "weavemesh" not found` or an address below its socket, and those of our answers. */
const FOR_OUR_SAKE = /\bweavemesh\b|\bweave: /;

export class Stranded {
  readonly #docker: Pick<DockerClient, "exited" | "details" | "start">;
  readonly #log: Log;
  /** By container, why it could not be started, which is said once. */
  #told = new Map<string, string>();

  constructor(docker: Pick<DockerClient, "exited" | "details" | "start">, log: Log) {
    this.#docker = docker;
    this.#log = log;
  }

  /** Starts them one after the other; what never ran is left to who made it. Without Docker there are none. */
  async start(): Promise<void> {
    const told = new Map<string, string>();
    try {
      for (const { id } of await this.#docker.exited()) {
        const container = await this.#docker.details(id);
        if (!container || !isStranded(container)) continue;
        const { name } = container;
        const reason = await this.#docker.start(id);
        if (reason === undefined) {
          this.#log.info("docker container started that could not start without weave", { container: name });
          continue;
        }
        told.set(id, reason);
        if (this.#told.get(id) !== reason) this.#log.warn("docker container cannot be started", { container: name, reason });
      }
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown; // Docker went away; with it come those that it cannot start then
    }
    this.#told = told;
  }
}

/** Only with a restart policy: Docker tries no others by itself, and who starts one by hand is told at once. */
function isStranded({ restartPolicy, error }: ContainerDetails): boolean {
  return restartPolicy !== "" && restartPolicy !== "no" && FOR_OUR_SAKE.test(error);
}
