// SPDX-License-Identifier: Apache-2.0
// One question to one name server, for people: the addresses of a name, IPv4 first.
import dnsPacket from "dns-packet";
import type { Ip } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import { errorText, UserError } from "../runtime/errors.ts";
import { systemRandom } from "../runtime/random.ts";

const ATTEMPTS = 3;
const ATTEMPT_MS = 2_000;

interface Server {
  readonly ip: Ip;
  readonly port: number;
}

/** Empty: it has none, or does not exist. @throws {UserError} not a name; the server does not answer, or cannot */
export async function lookup(name: string, server: Server, clock: Clock): Promise<string[]> {
  const [v4, v6] = [await ask(name, "A", server, clock), await ask(name, "AAAA", server, clock)];
  return [...v4, ...v6];
}

async function ask(name: string, type: "A" | "AAAA", server: Server, clock: Clock): Promise<string[]> {
  const query = { type: "query", id: systemRandom.below(0x1_0000), flags: dnsPacket.RECURSION_DESIRED } as const;
  const request = encode(name, { ...query, questions: [{ type, name: name.replace(/\.$/, "") }] });
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const reply = await exchange(request, server, clock);
    if (reply) return addressesIn(reply, type, name);
  }
  const hint = "see 'weave status' for why it may not";
  throw new UserError("unavailable", `the name server at ${server.ip} port ${server.port} does not answer`, hint);
}

function encode(name: string, packet: dnsPacket.Packet): Uint8Array {
  const labels = name.replace(/\.$/, "").split(".");
  if (name.length > 253 || labels.some((label) => label === "" || label.length > 63)) {
    throw new UserError("bad-request", `'${name}' is not a name`, "for example web, or web.weave.local");
  }
  return dnsPacket.encode(packet);
}

async function exchange(request: Uint8Array, server: Server, clock: Clock): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const socket = await Bun.udpSocket({
    connect: { hostname: server.ip, port: server.port },
    socket: {
      data: (_socket, data) => {
        if (data[0] === request[0] && data[1] === request[1]) resolve(Buffer.from(data));
      },
      error: () => resolve(undefined),
    },
  });
  using _limit = clock.after(ATTEMPT_MS, () => resolve(undefined));
  try {
    socket.send(request);
    return await promise;
  } finally {
    socket.close();
  }
}

function addressesIn(reply: Buffer, type: "A" | "AAAA", name: string): string[] {
  let packet: dnsPacket.Packet;
  try {
    packet = dnsPacket.decode(reply);
  } catch (thrown) {
    throw new UserError("unavailable", `the name server's answer cannot be read: ${errorText(thrown)}`);
  }
  const code = (packet.flags ?? 0) & 0x0f;
  if (code !== 0 && code !== 3) throw new UserError("unavailable", `the name server cannot tell of '${name}' (code ${code})`);
  return (packet.answers ?? []).flatMap((answer) => (answer.type === type && "data" in answer ? [String(answer.data)] : []));
}
