// SPDX-License-Identifier: Apache-2.0
// Waiting for several descriptors at once, with a structure that is made once. Blocks: not for the main thread.
import { ERRNO, errno, SystemError } from "../errno.ts";
import { Arena } from "../ffi.ts";
import { POLL, POLLFD } from "./fd.ts";
import { libc } from "./symbols.ts";

export class PollSet {
  readonly #entries: Arena;
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#entries = Arena.allocate(Math.max(1, fds.length) * POLLFD.size);
    for (const [i, fd] of fds.entries()) {
      this.#entries.view.setInt32(i * POLLFD.size + POLLFD.fd, fd, true);
      this.watch(i, POLL.IN);
    }
  }
  /** What to wait for on the descriptor at this place; 0: errors only. */
  watch(i: number, events: number): void {
    this.#entries.view.setInt16(i * POLLFD.size + POLLFD.events, events, true);
  }
  /** Bits that were ready at the end of the last wait. */
  ready(i: number): number {
    return this.#entries.view.getInt16(i * POLLFD.size + POLLFD.revents, true);
  }
  /** Waits until one is ready, `timeoutMs` is over (-1: never) or a signal comes. How many are ready. @throws {SystemError} */
  wait(timeoutMs: number): number {
    const ready = libc().symbols.poll(this.#entries.bytes, this.#count, timeoutMs);
    if (ready >= 0) return ready;
    const code = errno();
    if (code !== ERRNO.EINTR) throw new SystemError("poll", "", code);
    for (let i = 0; i < this.#count; i++) this.#entries.view.setInt16(i * POLLFD.size + POLLFD.revents, 0, true);
    return 0;
  }
}
