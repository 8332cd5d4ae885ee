// SPDX-License-Identifier: Apache-2.0
// A sleeve of the tests' own, without UDP, sealing or fragments: a thread takes what the switch of one host hands over and injects it at the
// host it is for. As little as possible of the code under test is in it.

/** One host: path of its namespace, and its short id. */
export interface CableEnd {
  readonly netns: string;
  readonly id: number;
}
/** Places in the memory the thread shares. */
export const CABLE_STATE = { stop: 0, frames: 1, superPackets: 2, probes: 3, words: 4 } as const;

export class SleeveCable implements AsyncDisposable {
  readonly #thread = new Worker(new URL("./sleeve-cable-thread.ts", import.meta.url).href);
  readonly #state = new Int32Array(new SharedArrayBuffer(4 * CABLE_STATE.words));

  private constructor() {}
  /** Between each two of `ends`, in both directions. */
  static async plug(ends: readonly CableEnd[]): Promise<SleeveCable> {
    const cable = new SleeveCable();
    const ready = cable.#message();
    cable.#thread.postMessage({ ends, state: cable.#state });
    await ready;
    return cable;
  }

  /** Carried so far. */
  get frames(): number {
    return Atomics.load(this.#state, CABLE_STATE.frames);
  }
  get superPackets(): number {
    return Atomics.load(this.#state, CABLE_STATE.superPackets);
  }
  /** Path probes and their answers. */
  get probes(): number {
    return Atomics.load(this.#state, CABLE_STATE.probes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#message();
    Atomics.store(this.#state, CABLE_STATE.stop, 1);
    await ended;
    this.#thread.terminate();
  }

  #message(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#thread.addEventListener("message", () => resolve(), { once: true });
      this.#thread.addEventListener("error", (event) => reject(new Error(event.message)), { once: true });
    });
  }
}
