// SPDX-License-Identifier: Apache-2.0
// Questions for other name servers: one server after the other, each question with an id of its own from a port of its own, so that answers cannot be
// guessed; the socket is connected, so the kernel takes answers from that server only. The same question in flight is asked once, which also ends
// loops through servers that ask us.
import { MESSAGE_MAX, type Question, RCODE, rcodeOf, repliesTo } from "../dns/message.ts";
import type { Transport } from "../dns/zone.ts";
import type { Ip } from "../net/ip.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Counter } from "../runtime/counters.ts";
import type { Random } from "../runtime/random.ts";
import { framed, MessageReader } from "./dns-stream.ts";

export const DNS_PORT = 53;
const IN_FLIGHT_MAX = 512;
/** Forms of one question at one time: clients have few, a loop makes more and more. */
const VARIANTS_MAX = 4;

export interface UpstreamPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** In the order in which to ask them, ourselves left out. */
  servers(): readonly { readonly host: Ip; readonly port: number }[];
  readonly timeoutMs: number;
  readonly outcomes: Counter;
}

type Server = ReturnType<UpstreamPorts["servers"]>[number];

export class Upstream {
  readonly #ports: UpstreamPorts;
  /** Question -> its forms in flight -> the answer to come. */
  readonly #asked = new Map<string, Map<string, Promise<Uint8Array | undefined>>>();
  #inFlight = 0;

  constructor(ports: UpstreamPorts) {
    this.#ports = ports;
  }

  /** The answer with the request's own id; undefined: nobody gave one. Never throws. */
  async ask(request: Uint8Array, question: Question, transport: Transport): Promise<Uint8Array | undefined> {
    const asked = `${question.key} ${question.type} ${question.class}`;
    const forms = this.#asked.get(asked) ?? new Map<string, Promise<Uint8Array | undefined>>();
    const form = `${transport} ${Buffer.from(request.subarray(2)).toString("latin1")}`;
    let answer = forms.get(form);
    if (!answer) {
      const refusal = forms.size >= VARIANTS_MAX ? "loop" : this.#inFlight >= IN_FLIGHT_MAX ? "too-many" : undefined;
      if (refusal) {
        this.#ports.outcomes.add(refusal);
        return undefined;
      }
      this.#asked.set(asked, forms);
      this.#inFlight++;
      answer = this.#askServers(request.slice(), question.end, transport).finally(() => {
        this.#inFlight--;
        forms.delete(form);
        if (forms.size === 0) this.#asked.delete(asked);
      });
      forms.set(form, answer);
    }
    const reply = (await answer)?.slice();
    reply?.set(request.subarray(0, 2));
    return reply;
  }

  async #askServers(request: Uint8Array, questionEnd: number, transport: Transport): Promise<Uint8Array | undefined> {
    let last: Uint8Array | undefined;
    for (const server of this.#ports.servers()) {
      const id = this.#ports.random.below(0x1_0000);
      request[0] = id >> 8;
      request[1] = id & 0xff;
      const exchange = transport === "udp" ? askByUdp : askByTcp;
      const reply = await exchange(server, request, questionEnd, this.#ports).catch(() => undefined); // refused, unreachable: as good as silent
      if (!reply) this.#ports.outcomes.add("no-answer");
      last = reply ?? last;
      if (reply && rcodeOf(reply) !== RCODE.failure && rcodeOf(reply) !== RCODE.refused) break;
    }
    this.#ports.outcomes.add(last ? "answered" : "failed");
    return last;
  }
}

/** Resolves with undefined after the time limit. */
function withTimeout(ports: UpstreamPorts) {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
  const timer = ports.clock.after(ports.timeoutMs, () => resolve(undefined));
  const answer = promise.finally(() => timer[Symbol.dispose]());
  answer.catch(() => undefined); // whoever still waits for it hears of a failure; after a failed send nobody does
  return { answer, resolve, reject };
}

function accepts(reply: Uint8Array, request: Uint8Array, questionEnd: number, ports: UpstreamPorts): boolean {
  const isOurs = repliesTo(reply, request, questionEnd);
  if (!isOurs) ports.outcomes.add("wrong-answer");
  return isOurs;
}

async function askByUdp(server: Server, request: Uint8Array, questionEnd: number, ports: UpstreamPorts) {
  const { answer, resolve, reject } = withTimeout(ports);
  const opening = Bun.udpSocket({
    connect: { hostname: server.host, port: server.port },
    socket: {
      data: (_socket, data) => {
        if (accepts(data, request, questionEnd, ports)) resolve(Uint8Array.from(data));
      },
      error: (_socket, error) => reject(error),
    },
  });
  const socket = await opening.catch((thrown: unknown) => {
    reject(thrown);
    return undefined;
  });
  try {
    socket?.send(request);
    return await answer;
  } finally {
    socket?.close();
  }
}

async function askByTcp(server: Server, request: Uint8Array, questionEnd: number, ports: UpstreamPorts) {
  const { answer, resolve, reject } = withTimeout(ports);
  const reader = new MessageReader(MESSAGE_MAX);
  const opening = Bun.connect({
    hostname: server.host,
    port: server.port,
    socket: {
      open: (socket) => void socket.write(framed(request)), // a fresh socket's buffer takes a query whole
      data: (_socket, data) => {
        for (const message of reader.push(data) ?? []) {
          if (accepts(message, request, questionEnd, ports)) resolve(message.slice());
        }
      },
      close: () => resolve(undefined),
      error: (_socket, error) => reject(error),
    },
  });
  opening.then(
    (socket) => void answer.catch(() => undefined).finally(() => socket.terminate()),
    (thrown: unknown) => reject(thrown),
  );
  return await answer;
}
