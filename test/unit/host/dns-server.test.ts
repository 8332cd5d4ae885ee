// SPDX-License-Identifier: Apache-2.0
// The name server over real sockets on loopback: clients that do everything wrong, and other name servers that do.
import { afterEach, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import dnsPacket from "dns-packet";
import { Directory } from "../../../src/dns/directory.ts";
import { parseName } from "../../../src/dns/name.ts";
import { Zone } from "../../../src/dns/zone.ts";
import { DnsServer, type DnsServerPorts } from "../../../src/host/dns-server.ts";
import { framed, MessageReader } from "../../../src/host/dns-stream.ts";
import { Upstream } from "../../../src/host/dns-upstream.ts";
import { parseResolvConf, ResolvConf } from "../../../src/host/resolv-conf.ts";
import { type Ip, parseIp } from "../../../src/net/ip.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { Counters } from "../../../src/runtime/counters.ts";
import { seededRandom, systemRandom } from "../../../src/runtime/random.ts";
import { waitFor } from "../../support/wait.ts";

const LOOPBACK = parseIp("127.0.0.1")!;
const opened: Disposable[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one[Symbol.dispose]();
});

const queryOf = (name: string, id = 1): Uint8Array =>
  Uint8Array.from(dnsPacket.encode({ type: "query", id, flags: 0x100, questions: [{ type: "A", name }] }));
const addressesIn = (bytes: Uint8Array): unknown[] =>
  (dnsPacket.decode(Buffer.from(bytes)).answers ?? []).map((one) => ("data" in one ? one.data : undefined));
const rcodeIn = (bytes: Uint8Array): number => bytes[3]! & 15;

type Behaviour = (request: Uint8Array, reply: (bytes: Uint8Array) => void) => void;

/** Another name server; answers example.com with 192.0.2.1. */
async function otherServer(behaviour: Behaviour = (request, reply) => reply(answerTo(request))): Promise<number> {
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data: (own, data, port, address) => behaviour(Uint8Array.from(data), (bytes) => void own.send(bytes, port, address)),
    },
  });
  opened.push({ [Symbol.dispose]: () => socket.close() });
  return socket.port;
}
function answerTo(request: Uint8Array, address = "192.0.2.1"): Uint8Array {
  const { id, questions = [] } = dnsPacket.decode(Buffer.from(request));
  const name = questions[0]?.name ?? "";
  const packet = { type: "response" as const, id: id ?? 0, questions, answers: [{ type: "A" as const, name, data: address }] };
  return Uint8Array.from(dnsPacket.encode(packet));
}

async function serverWith(options: { servers?: readonly number[]; serves?: boolean; timeoutMs?: number } = {}) {
  const counters = new Counters();
  const queries = counters.family("queries", "");
  const dropped = counters.family("dropped", "");
  const outcomes = counters.family("upstream", "");
  const directory = new Directory();
  directory.add("1", { name: "web.weave.local.", container: "c", address: parseIp("10.32.0.1")! });
  const zone = new Zone({ directory, domain: parseName("weave.local")!, ttlSeconds: 1, random: seededRandom(1) });
  const upstream = new Upstream({
    clock: systemClock,
    random: systemRandom,
    servers: () => (options.servers ?? []).map((port) => ({ host: LOOPBACK, port })),
    timeoutMs: options.timeoutMs ?? 300,
    outcomes,
  });
  const port = await freePort();
  const ports: DnsServerPorts = {
    zone,
    forward: (request, question, transport) => upstream.ask(request, question, transport),
    serves: () => options.serves ?? true,
    clock: systemClock,
    queries,
    dropped,
  };
  const server = await DnsServer.open({ host: LOOPBACK, port }, ports);
  opened.push(server);
  const count = (family: { read(): ReadonlyMap<string, number> }, label: string): number => family.read().get(label) ?? 0;
  return { port, ports, queries, dropped, outcomes, count, directory };
}
async function freePort(): Promise<number> {
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1" });
  const { port } = socket;
  socket.close();
  return port;
}

/** A UDP client that remembers what it got. */
async function client(port: number) {
  const replies: Uint8Array[] = [];
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: { data: (_socket, data) => void replies.push(Uint8Array.from(data)) },
  });
  opened.push({ [Symbol.dispose]: () => socket.close() });
  return {
    replies,
    send: (bytes: Uint8Array): void => void socket.send(bytes),
    async ask(bytes: Uint8Array): Promise<Uint8Array> {
      const before = replies.length;
      socket.send(bytes);
      await waitFor("an answer", () => replies.length > before, { deadlineMs: 5000 });
      return replies.at(-1)!;
    },
  };
}

/** A TCP client. */
async function stream(port: number) {
  const messages: Uint8Array[] = [];
  const reader = new MessageReader(65_535);
  const state = { isOpen: true };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, data) => void messages.push(...(reader.push(data) ?? []).map((one) => one.slice())),
      close: () => {
        state.isOpen = false;
      },
      error: () => {},
    },
  });
  opened.push({ [Symbol.dispose]: () => socket.terminate() });
  return { messages, state, write: (bytes: Uint8Array): void => void socket.write(bytes) };
}

describe("clients", () => {
  test("are answered over UDP and over TCP, there in any pieces and several questions at once", async () => {
    const { port } = await serverWith();
    expect(addressesIn(await (await client(port)).ask(queryOf("web.weave.local")))).toEqual(["10.32.0.1"]);
    const tcp = await stream(port);
    const bytes = Buffer.concat([framed(queryOf("web.weave.local", 1)), framed(queryOf("nobody.weave.local", 2))]);
    for (const byte of bytes) tcp.write(Uint8Array.of(byte));
    await waitFor("two answers", () => tcp.messages.length === 2, { deadlineMs: 5000 });
    expect(tcp.messages.map(rcodeIn)).toEqual([0, 3]);
  });

  test("of other networks get nothing", async () => {
    const { port, dropped, count } = await serverWith({ serves: false });
    const udp = await client(port);
    udp.send(queryOf("web.weave.local"));
    const tcp = await stream(port);
    await waitFor("both to be counted", () => count(dropped, "stranger") === 2, { deadlineMs: 5000 });
    await waitFor("the connection to end", () => !tcp.state.isOpen, { deadlineMs: 5000 });
    expect(udp.replies).toEqual([]);
  });

  test("that flood it with connections are bounded, and others go on being served", async () => {
    const { port, dropped, count } = await serverWith();
    const flood = await Promise.all(Array.from({ length: 100 }, () => stream(port)));
    await waitFor("most to be refused", () => count(dropped, "too-many-clients") === 68, { deadlineMs: 5000 });
    await waitFor("those to be closed", () => flood.filter(({ state }) => state.isOpen).length === 32, { deadlineMs: 5000 });
    expect(addressesIn(await (await client(port)).ask(queryOf("web.weave.local")))).toEqual(["10.32.0.1"]);
  });

  test("that send a long message, a reply, or nothing that can be read lose the connection only", async () => {
    const { port, dropped, count } = await serverWith();
    const long = await stream(port);
    long.write(Uint8Array.of(0xff, 0xff, 1));
    const reply = await stream(port);
    reply.write(framed(answerTo(queryOf("web.weave.local"))));
    await waitFor("both to end", () => !long.state.isOpen && !reply.state.isOpen, { deadlineMs: 5000 });
    expect([count(dropped, "too-long"), count(dropped, "no-request")]).toEqual([1, 1]);
    const udp = await client(port);
    for (let size = 0; size < 300; size++) udp.send(crypto.getRandomValues(new Uint8Array(size)));
    expect(addressesIn(await udp.ask(queryOf("web.weave.local", 77)))).toEqual(["10.32.0.1"]);
  });
});

test("an address that cannot be had is told with the reason", async () => {
  const { port, ports } = await serverWith();
  const open = (host: string, on: number) =>
    DnsServer.open({ host: parseIp(host)!, port: on }, ports).catch((thrown: unknown) => thrown);
  expect(await open("127.0.0.1", port)).toMatchObject({
    message: `cannot answer DNS on 127.0.0.1:${port}: another name server has it`,
  });
  expect(await open("192.0.2.1", port)).toMatchObject({
    message: `cannot answer DNS on 192.0.2.1:${port}: it is not an address of this host`,
    hint: "choose another with --dns-listen-address, or none with --no-dns",
  });
});

describe("questions for other servers", () => {
  test("are answered with the client's own id", async () => {
    const { port } = await serverWith({ servers: [await otherServer()] });
    const reply = await (await client(port)).ask(queryOf("example.com", 4711));
    expect(addressesIn(reply)).toEqual(["192.0.2.1"]);
    expect((reply[0]! << 8) | reply[1]!).toBe(4711);
  });

  test("come with another id each time", async () => {
    const ids = new Set<number>();
    const { port } = await serverWith({
      servers: [
        await otherServer((request, reply) => {
          ids.add((request[0]! << 8) | request[1]!);
          reply(answerTo(request));
        }),
      ],
    });
    const udp = await client(port);
    for (let i = 0; i < 20; i++) await udp.ask(queryOf(`n${i}.example.com`, 1));
    expect(ids.size).toBeGreaterThan(15);
  });

  test("go to the next server when one is silent, refuses, or fails", async () => {
    const silent = await otherServer(() => {});
    const failing = await otherServer((request, reply) => {
      const bytes = answerTo(request);
      bytes[3] = 2;
      reply(bytes);
    });
    const closed = await freePort();
    const { port, outcomes, count } = await serverWith({ servers: [silent, closed, failing, await otherServer()] });
    expect(addressesIn(await (await client(port)).ask(queryOf("example.com")))).toEqual(["192.0.2.1"]);
    expect(count(outcomes, "no-answer")).toBe(2);
  });

  test("take no answer with another id or to another question", async () => {
    const liar = await otherServer((request, reply) => {
      const wrongId = answerTo(request, "192.0.2.66");
      wrongId[0]! ^= 0xff;
      reply(wrongId);
      const other = answerTo(queryOf("example.org"), "192.0.2.66");
      other.set(request.subarray(0, 2));
      reply(other);
      reply(answerTo(request));
    });
    const { port, outcomes, count } = await serverWith({ servers: [liar] });
    expect(addressesIn(await (await client(port)).ask(queryOf("example.com")))).toEqual(["192.0.2.1"]);
    expect(count(outcomes, "wrong-answer")).toBe(2);
  });

  test("fail when nobody answers, and are asked once however many clients wait", async () => {
    let asked = 0;
    const silent = await otherServer(() => {
      asked++;
    });
    const { port } = await serverWith({ servers: [silent] });
    const clients = await Promise.all(Array.from({ length: 5 }, () => client(port)));
    const replies = await Promise.all(clients.map((one, index) => one.ask(queryOf("example.com", index))));
    expect(replies.map(rcodeIn)).toEqual([2, 2, 2, 2, 2]);
    expect(asked).toBe(1);
  });

  test("do not go round in circles", async () => {
    let ours = 0;
    let asked = 0;
    const loop = await otherServer((request) => {
      asked++;
      const again = Uint8Array.from(request); // changes the id, as forwarders do, and asks us
      again[0]! ^= 0x55;
      void client(ours).then((one) => one.send(again));
    });
    const { port } = await serverWith({ servers: [loop], timeoutMs: 200 });
    ours = port;
    expect(rcodeIn(await (await client(port)).ask(queryOf("example.com")))).toBe(2);
    expect(asked).toBe(1);
  });
});

describe("resolv.conf", () => {
  test("gives its servers", () => {
    const text =
      "# nameserver 9.9.9.9\nsearch a\nnameserver 1.1.1.1\n nameserver\t2606::1 \nnameserver fe80::1%eth0\nnameserver 1.1.1.1\n";
    expect(parseResolvConf(text)).toEqual(["1.1.1.1", "2606::1"] as Ip[]);
  });

  test("is read again when it has changed, and may be missing", () => {
    const path = join(tmpdir(), `resolv-${process.pid}.conf`);
    let now = 0;
    const conf = new ResolvConf(path, { ...systemClock, now: () => now });
    try {
      expect(conf.servers()).toEqual([]);
      writeFileSync(path, "nameserver 192.0.2.53\n");
      expect(conf.servers()).toEqual([]); // looked at a moment ago
      now += 6000;
      expect(conf.servers()).toEqual(["192.0.2.53"] as Ip[]);
      rmSync(path);
      now += 6000;
      expect(conf.servers()).toEqual([]);
    } finally {
      rmSync(path, { force: true });
    }
  });
});
