// SPDX-License-Identifier: Apache-2.0
// Gives memory back that only start-up or rare work needed. Done now and then, so what it costs must be little: the runtime's own collector is not
// started by time here (see RUNTIME_ENVIRONMENT), but a collection takes ten times as long as all else that an idle daemon does meanwhile.
import { type Dispensable, dispensablePages, privateBytes } from "../../native/libc/memory.ts";

/** Heap and what belongs to it may grow by so much before it is collected: less is not worth a collection. */
const GROWTH_BYTES = 2 ** 20;

export interface TidyPorts {
  /** Private memory of this process, in bytes. */
  privateBytes(): number;
  /** Collects the heap at once. */
  collect(): void;
  /** Unmaps what can be read again. */
  releasePages(): void;
}

export class Tidier {
  readonly #ports: TidyPorts;
  /** Private memory after the last collection. */
  #floorBytes = 0;

  constructor(ports: TidyPorts) {
    this.#ports = ports;
  }

  tidy(): void {
    this.#ports.releasePages();
    const bytes = this.#ports.privateBytes();
    if (bytes < this.#floorBytes + GROWTH_BYTES) {
      this.#floorBytes = Math.min(this.#floorBytes, bytes);
      return;
    }
    this.#ports.collect();
    this.#floorBytes = this.#ports.privateBytes();
  }
}

/** Of this process, run from `executable`. */
export function ownTidier(executable: string): Tidier {
  let pages: Dispensable | undefined;
  return new Tidier({
    privateBytes,
    collect: () => Bun.gc(true),
    releasePages: () => {
      pages ??= dispensablePages(executable); // later they are the same, and looking takes some milliseconds
      pages.release();
    },
  });
}
