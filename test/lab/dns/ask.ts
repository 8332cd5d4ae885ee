// SPDX-License-Identifier: Apache-2.0
// Questions from inside a lab host or container.
import dnsPacket from "dns-packet";
import type { Place } from "../../support/lab-host.ts";
import { UdpSocket } from "../../support/udp.ts";
import { waitFor } from "../../support/wait.ts";

export interface Asking {
  readonly from: Place;
  readonly server: string;
  /** Device the question leaves by. */
  readonly device: string;
}

/** Of a host's own name server, by loopback. */
export const atHome = (host: Place): Asking => ({ from: host, server: "127.0.0.1", device: "lo" });

export interface Reply {
  readonly rcode: number;
  /** Addresses or names, sorted as they came. */
  readonly data: readonly string[];
}

/** undefined: no answer in time. */
export async function ask(
  asking: Asking,
  name: string,
  type: "A" | "AAAA" | "PTR" = "A",
  deadlineMs = 2000,
): Promise<Reply | undefined> {
  using socket = new UdpSocket(asking.from, 0, 4, asking.device);
  const questions = [{ type, name }];
  socket.send(dnsPacket.encode({ type: "query", id: 99, flags: dnsPacket.RECURSION_DESIRED, questions }), asking.server, 53);
  try {
    const { found } = await waitFor("an answer", () => socket.receive(), { deadlineMs, everyMs: 1 });
    const { flags = 0, answers = [] } = dnsPacket.decode(Buffer.from(found));
    return { rcode: flags & 15, data: answers.map((answer) => ("data" in answer ? String(answer.data) : "")) };
  } catch {
    return undefined; // that nobody answers is an outcome here
  }
}

/** Waits until the name has exactly these addresses there; none: until it does not exist. */
export async function resolvesTo(asking: Asking, name: string, addresses: readonly string[], deadlineMs = 5000): Promise<void> {
  let last: Reply | undefined;
  await waitFor(
    `'${name}' on ${asking.from.name} to be ${addresses.join(", ") || "unknown"}`,
    async () => {
      last = await ask(asking, name);
      if (addresses.length === 0) return last?.rcode === 3;
      return last?.rcode === 0 && [...last.data].sort().join() === [...addresses].sort().join();
    },
    { deadlineMs, everyMs: 20, show: () => last },
  );
}
