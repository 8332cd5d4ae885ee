// SPDX-License-Identifier: Apache-2.0
// A target's name to a connection: every address the name has now, one after the other, within one deadline.
import type { Ip } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText } from "../runtime/errors.ts";
import { resolveHost } from "./resolve.ts";
import { connectTcp } from "./tcp-connect.ts";
import type { TcpStream } from "./tcp-stream.ts";

/** Errors of so many addresses are told. */
const ERRORS_TOLD = 3;

/** Each address gets its share of the time that is left.
 *  @throws {Error} `dial tcp: lookup host1: no such host`, or what each address said, or the signal's reason */
export async function dialTcp(
  host: string,
  port: number,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<TcpStream> {
  const end = clock.now() + timeoutMs;
  const addresses = await resolveWithin(host, clock, timeoutMs, signal);
  const errors: string[] = [];
  for (const [i, ip] of addresses.entries()) {
    const shareMs = (end - clock.now()) / (addresses.length - i);
    try {
      return await connectTcp(ip, port, clock, Math.max(1, shareMs), signal);
    } catch (thrown) {
      signal.throwIfAborted();
      errors.push(errorText(thrown));
    }
  }
  throw new Error(errors.slice(0, ERRORS_TOLD).join("; "));
}

async function resolveWithin(host: string, clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<readonly Ip[]> {
  const late = Promise.withResolvers<never>();
  using _timeout = clock.after(timeoutMs, () => late.reject(new Error(`dial tcp: lookup ${host}: i/o timeout`)));
  const abort = (): void => late.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const found = resolveHost(host).catch((cause: unknown) => {
    throw new Error(`dial tcp: ${errorText(cause)}`, { cause });
  });
  try {
    return await Promise.race([found, late.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
