// SPDX-License-Identifier: Apache-2.0
// Runs the handshake over a TCP stream, with a deadline.
import { Handshake, type HandshakeOptions, type HandshakeStep } from "../mesh/secure/handshake.ts";
import type { Sealing } from "../mesh/secure/sealing.ts";
import type { Clock } from "../runtime/clock.ts";
import { TcpLink } from "./tcp-link.ts";
import type { TcpStream } from "./tcp-stream.ts";

/** From the connection's first moment to the last message of the handshake. */
export const HANDSHAKE_MS = 10_000;

export type HandshakeResult =
  | { readonly link: TcpLink }
  /** `isGuess`: the other end offered a password, and a wrong one. `gaveUp`: it closed the connection. */
  | { readonly error: string; readonly isGuess: boolean; readonly gaveUp: boolean };

/** Calls `done` once, possibly before it returns. Disposing gives up without calling it. */
export function runHandshake(
  stream: TcpStream,
  sealing: Sealing,
  options: HandshakeOptions,
  clock: Clock,
  timeoutMs: number,
  done: (result: HandshakeResult) => void,
): Disposable {
  const handshake = new Handshake(sealing, options);
  let isOver = false;
  const deadline = clock.after(timeoutMs, () => {
    fail(`the handshake took longer than ${timeoutMs / 1000} s`);
    stream.terminate();
  });
  function leave(): void {
    isOver = true;
    deadline[Symbol.dispose]();
    handshake.wipe();
  }
  function fail(error: string, { isGuess = false, gaveUp = false } = {}): void {
    if (isOver) return;
    leave();
    done({ error, isGuess, gaveUp });
  }
  function take(step: HandshakeStep): void {
    stream.write(step.send);
    if (step.state === "continue") return;
    if (step.state === "failed") {
      stream.finish();
      fail(step.reason, { isGuess: step.isGuess });
      return;
    }
    leave();
    const { hello, session, exporter, passwordUsed, rest } = step;
    const sentHello = { ...options.hello, publicKey: options.identity.publicKey };
    done({
      link: new TcpLink({ stream, session, exporter, outbound: options.dials, passwordUsed, hello, sentHello, rest, clock }),
    });
  }
  stream.listen({
    data: (bytes) => {
      if (!isOver) take(handshake.receive(bytes));
    },
    closed: (error) => fail(error ?? "the peer closed the connection during the handshake", { gaveUp: true }),
  });
  stream.write(handshake.start());
  return {
    [Symbol.dispose]: () => {
      if (isOver) return;
      leave();
      stream.terminate();
    },
  };
}
