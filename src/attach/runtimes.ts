// SPDX-License-Identifier: Apache-2.0
// Several container runtimes as one: each is asked in turn, and the first that knows the word answers. One that is away is told only when nobody else knows it.

import { UserError } from "../runtime/errors.ts";
import type { Container, ContainerRuntime } from "./ports.ts";

export class Runtimes implements ContainerRuntime {
  readonly #runtimes: readonly ContainerRuntime[];

  constructor(runtimes: readonly ContainerRuntime[]) {
    this.#runtimes = runtimes;
  }

  async inspect(word: string): Promise<Container | undefined> {
    let away: UserError | undefined;
    for (const runtime of this.#runtimes) {
      try {
        const found = await runtime.inspect(word);
        if (found) return found;
      } catch (thrown) {
        if (!(thrown instanceof UserError) || thrown.code !== "unavailable") throw thrown;
        away ??= thrown;
      }
    }
    if (away) throw away;
    return undefined;
  }
}
