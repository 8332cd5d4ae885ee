// SPDX-License-Identifier: Apache-2.0
// Hands space to an heir before this host leaves for good: told until the heir says that it is on its disk, or a few times.
import type { PeerName } from "../mesh/peer-name.ts";
import type { Clock } from "../runtime/clock.ts";

const PAUSE_MS = 1_000;
const TRIES = 3;

export class HandOver {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, { readonly heir: PeerName; taken(): void }>();
  #token = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False: the heir did not answer. `tell` sends it, with this token. */
  async offer(heir: PeerName, tell: (token: number) => void): Promise<boolean> {
    const token = this.#token++;
    const result = Promise.withResolvers<boolean>();
    this.#waiting.set(token, { heir, taken: () => result.resolve(true) });
    let timer: Disposable | undefined;
    const attempt = (left: number): void => {
      if (left > 0) tell(token);
      else result.resolve(false);
      if (left > 0) timer = this.#clock.after(PAUSE_MS, () => attempt(left - 1));
    };
    attempt(TRIES);
    const isTaken = await result.promise;
    timer?.[Symbol.dispose]();
    this.#waiting.delete(token);
    return isTaken;
  }

  /** The heir has it. */
  taken(from: PeerName, token: number): void {
    const waiting = this.#waiting.get(token);
    if (waiting?.heir === from) waiting.taken();
  }
}
