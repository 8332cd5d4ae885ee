// SPDX-License-Identifier: Apache-2.0
// Which containers Docker has, running or not: those that stopped may come back, whether in a second or after the host was off for a day.
import type { DockerClient } from "../docker/client.ts";
import type { ContainerEvent } from "../docker/decode.ts";
import { UserError } from "../runtime/errors.ts";

const ID = /^[0-9a-f]{64}$/;

export class KnownContainers {
  /** undefined: Docker has not told yet. */
  #ids: Set<string> | undefined;

  /** Also of what is no container's id: false. Until Docker has told, every container may be one of its own. */
  has(id: string): boolean {
    return ID.test(id) && (this.#ids?.has(id) ?? true);
  }

  async look(docker: Pick<DockerClient, "containers">): Promise<void> {
    try {
      this.#ids = new Set((await docker.containers()).map(({ id }) => id));
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown; // it went away again; what was known stays
    }
  }

  event({ action, id }: ContainerEvent): void {
    if (action === "destroy") this.#ids?.delete(id);
    else this.#ids?.add(id);
  }
}
