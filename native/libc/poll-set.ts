// SPDX-License-Identifier: Apache-2.0
// Waiting for several descriptors at once, again and again: epoll(7), which keeps what it waits for, so a wait costs a quarter of what poll()
// costs. Blocks: not for the main thread.
import { checked, ERRNO, errno, SystemError } from "../errno.ts";
import { Arena } from "../ffi.ts";
import { close, POLL } from "./fd.ts";
import { libc } from "./symbols.ts";

/** struct epoll_event, sys/epoll.h: packed on x86-64 only. The first half of `data` is the place in the set. */
export const EPOLL_EVENT =
  process.arch === "x64" ? ({ size: 12, events: 0, data: 4 } as const) : ({ size: 16, events: 0, data: 8 } as const);
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_MOD = 3;

export class PollSet implements Disposable {
  readonly #fds: readonly number[];
  readonly #events: Arena;
  readonly #ready: Int32Array;
  readonly #symbols = libc().symbols;
  #epoll: number;

  /** For input. A negative descriptor is never ready. @throws {SystemError} */
  constructor(fds: readonly number[]) {
    this.#fds = fds;
    this.#events = Arena.allocate(Math.max(1, fds.length) * EPOLL_EVENT.size);
    this.#ready = new Int32Array(fds.length);
    this.#epoll = checked(this.#symbols.epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    try {
      for (const i of fds.keys()) this.#control(EPOLL_CTL_ADD, i, POLL.IN);
    } catch (thrown) {
      this[Symbol.dispose]();
      throw thrown;
    }
  }
  [Symbol.dispose](): void {
    if (this.#epoll >= 0) close(this.#epoll);
    this.#epoll = -1;
  }

  /** What to wait for on the descriptor at this place; 0: errors only. @throws {SystemError} */
  watch(i: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, i, events);
  }
  /** Bits that were ready at the end of the last wait. */
  ready(i: number): number {
    return this.#ready[i] ?? 0;
  }
  /** Waits until one is ready, `timeoutMs` is over (-1: never) or a signal comes. How many are ready. @throws {SystemError} */
  wait(timeoutMs: number): number {
    for (let i = 0; i < this.#ready.length; i++) this.#ready[i] = 0;
    const ready = this.#symbols.epoll_wait(this.#epoll, this.#events.bytes, this.#fds.length, timeoutMs);
    if (ready < 0) {
      const code = errno();
      if (code !== ERRNO.EINTR) throw new SystemError("epoll_wait", "", code);
      return 0;
    }
    const { view } = this.#events;
    for (let n = 0; n < ready; n++) {
      const at = n * EPOLL_EVENT.size;
      this.#ready[view.getUint32(at + EPOLL_EVENT.data, true)] = view.getUint32(at + EPOLL_EVENT.events, true);
    }
    return ready;
  }

  #control(operation: number, i: number, events: number): void {
    const fd = this.#fds[i] ?? -1;
    if (fd < 0) return;
    this.#events.view.setUint32(EPOLL_EVENT.events, events, true);
    this.#events.view.setUint32(EPOLL_EVENT.data, i, true);
    checked(this.#symbols.epoll_ctl(this.#epoll, operation, fd, this.#events.bytes), "epoll_ctl", `fd ${fd}`);
  }
}
