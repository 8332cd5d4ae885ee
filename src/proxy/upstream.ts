// SPDX-License-Identifier: Apache-2.0
// A connection to Docker for a client of the proxy.
import type { DockerEndpoint } from "../docker/endpoint.ts";
import type { Clock } from "../runtime/clock.ts";
import { Refusal } from "./message.ts";
import { type Wire, type WireSlot, wireHandler } from "./wire.ts";

/** @throws {Refusal} nobody answers there */
export async function connectDocker({ socketPath, base, tls, text }: DockerEndpoint, clock: Clock): Promise<Wire> {
  const { promise, resolve } = Promise.withResolvers<Wire>();
  const common = { allowHalfOpen: true, socket: wireHandler(clock, resolve) };
  try {
    if (socketPath !== undefined) await Bun.connect<WireSlot>({ ...common, unix: socketPath });
    else {
      const { hostname, port } = new URL(base);
      const address = { ...common, hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (tls ? 443 : 80)) };
      await Bun.connect<WireSlot>(tls ? { ...address, tls } : address);
    }
  } catch (thrown) {
    throw new Refusal(502, `weave proxy: Docker does not answer at ${text}; is it running?`, { cause: thrown });
  }
  return await promise;
}
