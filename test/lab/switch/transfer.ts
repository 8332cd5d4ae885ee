// SPDX-License-Identifier: Apache-2.0
// Bytes over TCP between two guests, every one compared: with checksums left to the far kernel, TCP itself would not notice a wrong one.
import { inNetns } from "../../support/libc.ts";
import { type Guest, netnsPath } from "./world.ts";

/** The same bytes every time, of no short period. */
export function noise(bytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let i = 0, state = 1; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

export interface Transfer {
  readonly tookMs: number;
  readonly isIntact: boolean;
}

/** Sends `bytes` over one TCP connection; done when all have arrived. @throws {Error} not within `deadlineMs` */
export async function transfer(from: Guest, to: Guest, address: string, bytes: number, deadlineMs = 20_000): Promise<Transfer> {
  const began = performance.now();
  const sent = noise(bytes);
  const hash = new Bun.CryptoHasher("sha256");
  let received = 0;
  const arrived = Promise.withResolvers<void>();
  const server = inNetns(netnsPath(to.netns), () =>
    Bun.listen({
      hostname: address,
      port: 0,
      socket: {
        data(_socket, data) {
          hash.update(data);
          received += data.length;
          if (received >= bytes) arrived.resolve();
        },
      },
    }),
  );
  let at = 0;
  const push = (client: { write(data: Uint8Array): number }) => {
    while (at < bytes) {
      const written = client.write(sent.subarray(at, at + 262_144));
      if (written <= 0) return;
      at += written;
    }
  };
  const late = setTimeout(
    () => arrived.reject(new Error(`${received} of ${bytes} bytes arrived in ${deadlineMs} ms`)),
    deadlineMs,
  );
  try {
    const connecting = inNetns(netnsPath(from.netns), () =>
      Bun.connect({ hostname: address, port: server.port, socket: { open: push, drain: push, data() {} } }),
    );
    const client = await connecting;
    await arrived.promise;
    client.end();
    return {
      tookMs: performance.now() - began,
      isIntact: hash.digest("hex") === new Bun.CryptoHasher("sha256").update(sent).digest("hex"),
    };
  } finally {
    clearTimeout(late);
    server.stop(true);
  }
}
