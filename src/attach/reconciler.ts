// SPDX-License-Identifier: Apache-2.0
// Compares every record with the kernel and makes the kernel agree: at start, after kernel and container events, and every 30 s. Work that a crash
// interrupted is undone or completed, containers that have gone are forgotten, ports without a record are adopted.
import type { Clock } from "../runtime/clock.ts";
import { errorText, InvariantError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { Attachment } from "./attachment.ts";
import type { Attachments } from "./attachments.ts";

interface Ports {
  readonly clock: Clock;
  readonly log: Log;
  /** Drops a record with all that belongs to it. */
  readonly forget: (known: Attachment) => Promise<void>;
}

export class Reconciler {
  readonly #attachments: Attachments;
  readonly #ports: Ports;
  /** Why each record could not be repaired, so that it is said once. */
  readonly #troubles = new Map<string, string>();
  #pass: Promise<unknown> = Promise.resolve();
  #nextPass: Promise<string[]> | undefined;

  constructor(attachments: Attachments, ports: Ports) {
    this.#attachments = attachments;
    this.#ports = ports;
  }

  /** One pass over everything. Calls during a pass lead to one more pass. Returns what was repaired; what could not be is logged. */
  reconcile(): Promise<string[]> {
    this.#nextPass ??= this.#pass.then(() => {
      this.#nextPass = undefined;
      const pass = this.#all();
      this.#pass = pass.catch(() => undefined); // the caller of this pass gets its error; the next pass starts anyway
      return pass;
    });
    return this.#nextPass;
  }

  async #all(): Promise<string[]> {
    const repairs: string[] = [];
    for (const { hostLink } of this.#attachments.all()) {
      repairs.push(...(await this.#one(hostLink)));
      await new Promise<void>((resolve) => void this.#ports.clock.after(0, resolve)); // others run between two containers
    }
    for (const { hostLink } of this.#attachments.adoptOrphans()) {
      repairs.push(`${hostLink}: adopted, its record was missing`, ...(await this.#one(hostLink)));
    }
    return repairs;
  }

  async #one(hostLink: string): Promise<readonly string[]> {
    const known = this.#attachments.get(hostLink); // read now: it may have changed since the list was made
    if (!known) return [];
    try {
      const alive = this.#attachments.alive(known);
      const repairs = alive ? this.#attachments.repair(alive) : [];
      if (!alive) await this.#ports.forget(known); // containers end: nothing that had to be repaired
      if (this.#troubles.delete(known.hostLink) && alive) {
        this.#ports.log.info("attachment works again", { container: known.name });
      }
      return repairs;
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      this.#complain(known, errorText(thrown));
      return [];
    }
  }

  #complain(known: Attachment, reason: string): void {
    if (this.#troubles.get(known.hostLink) === reason) return;
    this.#troubles.set(known.hostLink, reason);
    this.#ports.log.warn("attachment cannot be repaired", { container: known.name, link: known.hostLink, reason });
  }
}
