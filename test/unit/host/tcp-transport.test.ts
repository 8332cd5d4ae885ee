// SPDX-License-Identifier: Apache-2.0
// Links over real sockets on loopback.
import { describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { WRITE_QUEUE_BYTES_MAX } from "../../../src/host/tcp-stream.ts";
import type { TcpTransportOptions } from "../../../src/host/tcp-transport.ts";
import type { Link } from "../../../src/mesh/ports.ts";
import { MESSAGE_BYTES_MAX, REKEY_MS } from "../../../src/mesh/secure/session.ts";
import type { Ip } from "../../../src/net/ip.ts";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";
import { UserError } from "../../../src/runtime/errors.ts";
import { helloOf, KeptLink, linked, TestPeer } from "../../support/transport.ts";
import { staysFor, waitFor } from "../../support/wait.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);

/** What the listener says when its next handshake fails. */
function failures(): { options: Partial<TcpTransportOptions>; reasons: string[] } {
  const reasons: string[] = [];
  const note = (_: string, fields?: { reason?: unknown }) => void reasons.push(String(fields?.reason));
  return { reasons, options: { log: { debug: note, info: note, warn: note, error: note } } };
}

describe("links", () => {
  for (const passwords of [[], ["secret"]]) {
    test(`two ends ${passwords.length ? "with a password" : "without a password"} know each other and talk`, async () => {
      await using a = new TestPeer(1, passwords);
      await using b = new TestPeer(2, passwords);
      const { near, far } = await linked(a, b);
      expect(near.link).toMatchObject({ outbound: true, passwordUsed: passwords.length > 0, remoteAddress: b.address });
      expect(far.link).toMatchObject({ outbound: false, passwordUsed: passwords.length > 0, localAddress: b.address });
      expect(near.link.hello).toEqual({ ...helloOf(2), publicKey: b.identity.publicKey });
      expect(far.link.hello).toEqual({ ...helloOf(1), publicKey: a.identity.publicKey });
      expect(far.link.sentHello).toEqual(near.link.hello);
      expect(far.link.remoteAddress).toBe(near.link.localAddress);
      near.link.send(bytes("one"));
      near.link.send(bytes("two"));
      far.link.send(bytes("three"));
      await waitFor("all messages", () => far.messages.length === 2 && near.messages.length === 1);
      expect([...far.messages, ...near.messages].map(text)).toEqual(["one", "two", "three"]);
    });
  }

  test("IPv6 works like IPv4, and one listener takes both", async () => {
    await using a = new TestPeer(1, ["secret"]);
    await using b = new TestPeer(2, ["secret"], { listens: "everywhere" });
    const over6 = await a.dialled(`[::1]:${b.port}`);
    const over4 = await a.dialled(`127.0.0.1:${b.port}`);
    await waitFor("both links", () => b.accepted.length === 2);
    expect([over6.link.remoteAddress, over4.link.remoteAddress]).toEqual([`[::1]:${b.port}`, `127.0.0.1:${b.port}`]);
    expect(b.accepted.map(({ link }) => link.remoteAddress)).toEqual([over6.link.localAddress, over4.link.localAddress]);
  });

  test("messages of all sizes arrive in order while both ends send at once", async () => {
    await using a = new TestPeer(1, ["secret"]);
    await using b = new TestPeer(2, ["secret"]);
    const { near, far } = await linked(a, b);
    const sizes = [0, 1, 1400, 65_536, 300_000, MESSAGE_BYTES_MAX, 7];
    for (const size of sizes) {
      near.link.send(new Uint8Array(size).fill(size % 251));
      far.link.send(new Uint8Array(size).fill(size % 241));
    }
    await waitFor("all messages", () => far.messages.length === sizes.length && near.messages.length === sizes.length);
    for (const [kept, modulus] of [
      [far, 251],
      [near, 241],
    ] as const) {
      expect(kept.messages.map((message) => message.length)).toEqual(sizes);
      expect(kept.messages.every((message, i) => message.every((byte) => byte === sizes[i]! % modulus))).toBe(true);
    }
    expect(near.link.queuedBytes()).toBe(0);
  });

  test("nothing is delivered before start, and nothing that came before is lost", async () => {
    const held: Link[] = [];
    await using a = new TestPeer(1);
    await using b = new TestPeer(2, [], { accepted: (link) => void held.push(link) });
    const near = await a.dialled(b.address);
    for (let i = 0; i < 100; i++) near.link.send(bytes(`message ${i}`));
    const { found: link } = await waitFor("the link", () => held[0]);
    const far = new KeptLink(link);
    expect(far.messages).toEqual([]);
    await waitFor("all messages", () => far.messages.length === 100);
    expect(far.messages.map(text)).toEqual(Array.from({ length: 100 }, (_, i) => `message ${i}`));
  });

  test("a link that ended before start says so at start", async () => {
    const held: Link[] = [];
    await using a = new TestPeer(1);
    await using b = new TestPeer(2, [], { accepted: (link) => void held.push(link) });
    const near = await a.dialled(b.address);
    const { found: link } = await waitFor("the link", () => held[0]);
    near.link.close();
    const far = new KeptLink(link);
    await waitFor("the end", () => far.closed.length === 1);
    expect(far.closed).toEqual(["the peer closed the connection"]);
  });

  test("keys are renewed in the middle of traffic without losing a message", async () => {
    const clock = new HurriedClock(REKEY_MS, 5);
    await using a = new TestPeer(1, ["secret"], { clock });
    await using b = new TestPeer(2, ["secret"], { clock });
    const { near, far } = await linked(a, b);
    const count = 300;
    for (let i = 0; i < count; i++) {
      near.link.send(bytes(`to far ${i}`));
      far.link.send(bytes(`to near ${i}`));
      if (i % 10 === 0) await Bun.sleep(1);
    }
    await waitFor("all messages", () => far.messages.length === count && near.messages.length === count);
    expect(far.messages.map(text)).toEqual(Array.from({ length: count }, (_, i) => `to far ${i}`));
    expect(near.messages.map(text)).toEqual(Array.from({ length: count }, (_, i) => `to near ${i}`));
    expect(clock.hurried).toBeGreaterThan(6);
  });

  test("a refusal brings its reason to the other end, even with data on its way to us", async () => {
    await using a = new TestPeer(1, ["secret"]);
    await using b = new TestPeer(2, ["secret"]);
    for (let i = 0; i < 20; i++) {
      const { near, far } = await linked(a, b);
      near.link.send(new Uint8Array(200_000));
      far.link.refuse("peer names collision");
      far.link.send(bytes("ignored"));
      await waitFor("both ends", () => near.closed.length === 1 && far.closed.length === 1);
      expect([near.closed, far.closed]).toEqual([["peer names collision"], ["peer names collision"]]);
      expect(near.messages).toEqual([]);
    }
  });

  test("close ends both ends once, after what was sent before", async () => {
    await using a = new TestPeer(1);
    await using b = new TestPeer(2);
    const { near, far } = await linked(a, b);
    for (let i = 0; i < 50; i++) near.link.send(new Uint8Array(20_000));
    near.link.close();
    near.link.close();
    near.link.refuse("too late");
    await waitFor("both ends", () => near.closed.length === 1 && far.closed.length === 1);
    expect([near.closed, far.closed]).toEqual([["closed by us"], ["the peer closed the connection"]]);
    expect(far.messages.length).toBe(50);
    expect(await staysFor(50, () => near.closed.length === 1 && far.closed.length === 1)).toBe(true);
  });

  test("a peer that does not read is given up when 4 MiB are waiting for it, and the other links go on", async () => {
    const held: Link[] = [];
    await using a = new TestPeer(1);
    await using deaf = new TestPeer(2, [], { accepted: (link) => void held.push(link) });
    await using c = new TestPeer(3);
    const other = await linked(a, c);
    const near = await a.dialled(deaf.address);
    await waitFor("the deaf end", () => held[0]);
    const chunk = new Uint8Array(100_000);
    let most = 0;
    for (let i = 0; i < 400 && near.closed.length === 0; i++) {
      near.link.send(chunk);
      most = Math.max(most, near.link.queuedBytes());
      await Promise.resolve();
    }
    await waitFor("the end", () => near.closed.length === 1);
    expect(near.closed[0]).toBe("the peer does not read: 4 MiB are waiting for it");
    expect(most).toBeLessThanOrEqual(WRITE_QUEUE_BYTES_MAX);
    expect(near.link.queuedBytes()).toBe(0);
    other.near.link.send(bytes("still here"));
    await waitFor("the other link", () => other.far.messages.length === 1);
  });

  test("a message that is too long closes the link with the reason instead of going out", async () => {
    await using a = new TestPeer(1);
    await using b = new TestPeer(2);
    const { near, far } = await linked(a, b);
    near.link.send(new Uint8Array(MESSAGE_BYTES_MAX + 1));
    await waitFor("the end", () => near.closed.length === 1 && far.closed.length === 1);
    expect(near.closed[0]).toContain("too long");
  });

  test("bytes changed, repeated or cut on the way end the link", async () => {
    await using a = new TestPeer(1, ["secret"]);
    await using b = new TestPeer(2, ["secret"]);
    for (const tamper of ["flip", "repeat", "cut"] as const) {
      await using relay = await Relay.to(b.port);
      const before = b.accepted.length;
      const near = await a.dialled(`127.0.0.1:${relay.port}`);
      const { found: far } = await waitFor("the link", () => b.accepted[before]);
      near.link.send(bytes("first"));
      await waitFor("the first message", () => far.messages.length === 1);
      relay.tamper = tamper;
      near.link.send(bytes("second"));
      await waitFor("the end", () => far.closed.length === 1 && near.closed.length === 1);
      const messages = tamper === "repeat" ? 2 : 1;
      expect(far.messages.length).toBe(messages);
      expect(far.closed[0]).toBe(tamper === "cut" ? "the connection was cut off" : "a message was changed on the way");
    }
  });
});

test("a bug in whoever receives a message is not taken for a broken connection: it ends the process", async () => {
  const program = `
    import { linked, TestPeer } from "${new URL("../../support/transport.ts", import.meta.url).pathname}";
    const [a, b] = [new TestPeer(1), new TestPeer(2, [], { accepted: (link) => link.start({ message() { throw new Error("our bug"); }, closed() {} }) })];
    const near = await a.dialled(b.address);
    near.link.send(new Uint8Array(1));
    setTimeout(() => process.exit(0), 2000);`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "pipe" });
  expect(await child.exited).not.toBe(0);
  expect(await new Response(child.stderr).text()).toContain("our bug");
});

describe("dialling", () => {
  test("nobody listens, no such name, no such target: told in people's words", async () => {
    await using a = new TestPeer(1);
    expect(await a.dial("127.0.0.1:1")).toEqual({ error: "dial tcp 127.0.0.1:1: connect: connection refused" });
    expect(await a.dial("[::1]:1")).toEqual({ error: "dial tcp [::1]:1: connect: connection refused" });
    // Without a network nobody can say that there is no such name.
    const unknown = /^dial tcp: lookup no-such-host\.invalid: (no such host|the name server does not answer)$/;
    expect(await a.dial("no-such-host.invalid")).toEqual({ error: expect.stringMatching(unknown) });
    expect(await a.dial("two words")).toMatchObject({ error: expect.stringContaining("'two words' is not a host name") });
    expect(await a.dial("host:99999")).toMatchObject({ error: expect.stringContaining("'host:99999'") });
  });

  test("a name is resolved and the default port is our own", async () => {
    await using b = new TestPeer(2, [], { listens: "everywhere" });
    await using a = new TestPeer(1, [], { port: b.port, listens: "nowhere" });
    const near = await a.dialled("localhost");
    expect(near.link.remoteAddress).toEndWith(`:${b.port}`);
  });

  for (const [what, ours, theirs, near, far] of [
    ["different passwords", ["a"], ["b"], "wrong password: the peer refused ours", "wrong password: the peer knows none of ours"],
    [
      "a password here only",
      ["a"],
      [],
      "password specified, but peer requested an unencrypted connection",
      "no password specified, but peer requested an encrypted connection",
    ],
    [
      "a password there only",
      [],
      ["a"],
      "no password specified, but peer requested an encrypted connection",
      "password specified, but peer requested an unencrypted connection",
    ],
  ] as const) {
    test(`${what}: both ends say so, other links stay`, async () => {
      const { options, reasons } = failures();
      await using a = new TestPeer(1, ours);
      await using b = new TestPeer(2, theirs, options);
      await using c = new TestPeer(3, theirs);
      const kept = await linked(c, b);
      expect(await a.dial(b.address)).toEqual({ error: near, remoteAddress: b.address });
      await waitFor("the listener's word", () => reasons.length === 1);
      expect(reasons).toEqual([far]);
      expect(b.accepted.length).toBe(1);
      expect(b.refusals()).toEqual({ handshake: 1 });
      kept.near.link.send(bytes("fine"));
      await waitFor("the other link", () => kept.far.messages.length === 1);
    });
  }

  test("passwords change at run time, host by host, without a cut", async () => {
    await using a = new TestPeer(1, ["old"]);
    await using b = new TestPeer(2, ["old"]);
    const first = await linked(a, b);
    a.transport.setPasswords(["old", "new"]);
    await linked(a, b);
    b.transport.setPasswords(["new"]);
    await linked(a, b);
    await linked(b, a);
    a.transport.setPasswords(["new"]);
    await linked(b, a);
    await using late = new TestPeer(3, ["old"]);
    expect(await late.dial(a.address)).toMatchObject({ error: "wrong password: the peer refused ours" });
    first.near.link.send(bytes("still up"));
    await waitFor("the first link", () => first.far.messages.length === 1);
  });

  test("a handshake that began before the first password brings in nobody", async () => {
    const { options, reasons } = failures();
    await using a = new TestPeer(1);
    const hello = () => {
      b.transport.setPasswords(["new"]);
      return helloOf(2);
    };
    await using b: TestPeer = new TestPeer(2, [], { ...options, hello });
    expect(await a.dial(b.address)).toHaveProperty("link"); // it cannot know, and is told at once
    await waitFor("the listener's word", () => reasons.length === 1);
    expect([reasons, b.accepted]).toEqual([["a password was set during the handshake"], []]);
  });

  test("passwords that cannot be are refused with a hint", () => {
    const peer = (passwords: string[]) => () => new TestPeer(1, passwords);
    expect(peer(["a", "b", "c", "d", "e"])).toThrow(UserError);
    expect(peer([""])).toThrow(UserError);
    expect(peer(["x".repeat(2000)])).toThrow(UserError);
  });

  test("the same password typed with different code points is the same", async () => {
    await using a = new TestPeer(1, ["p\u00e4ss"]);
    await using b = new TestPeer(2, ["pa\u0308ss"]);
    await linked(a, b);
  });

  test("a dial that is disposed is never heard of again", async () => {
    await using a = new TestPeer(1);
    await using b = new TestPeer(2);
    let heard = 0;
    const dial = (target: string) =>
      a.transport.dial(
        target,
        () => helloOf(1),
        () => void heard++,
      );
    dial(b.address)[Symbol.dispose]();
    const sockets: Socket[] = [];
    let ended = 0;
    const silent = createServer((socket) => {
      sockets.push(socket);
      socket.resume().on("close", () => void ended++);
    }).listen(0, "127.0.0.1");
    await waitFor("the silent server", () => silent.listening);
    const dialling = dial(`127.0.0.1:${(silent.address() as { port: number }).port}`);
    await waitFor("the connection", () => sockets.length === 1);
    dialling[Symbol.dispose]();
    await waitFor("its end", () => ended === 1);
    expect(await staysFor(50, () => heard === 0 && b.accepted.every((kept) => kept.closed.length === 1))).toBe(true);
    silent.close();
  });

  test("a peer that accepts and then says nothing, or closes, is told apart", async () => {
    await using a = new TestPeer(1, [], { handshakeMs: 80 });
    const answers: ((socket: Socket) => void)[] = [
      () => {},
      (socket) => socket.end(),
      (socket) => socket.resetAndDestroy(),
      (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    ];
    const errors: string[] = [];
    for (const answer of answers) {
      const server = createServer(answer).listen(0, "127.0.0.1");
      await waitFor("the server", () => server.listening);
      const { port } = server.address() as { port: number };
      const result = await a.dial(`127.0.0.1:${port}`);
      errors.push("error" in result ? result.error : "linked");
      server.close();
    }
    expect(errors).toEqual([
      "the handshake took longer than 0.08 s",
      "the peer closed the connection during the handshake",
      expect.stringContaining("connection reset by peer"),
      "the other end does not speak weave",
    ]);
  });
});

describe("listening", () => {
  test("a port in use and an address that is not ours are one clear message each", async () => {
    await using a = new TestPeer(1);
    const attempt = (options: Partial<TcpTransportOptions>) => {
      try {
        new TestPeer(2, [], options);
        return undefined;
      } catch (thrown) {
        return thrown;
      }
    };
    const inUse = attempt({ port: a.port });
    expect(inUse).toBeInstanceOf(UserError);
    expect(inUse).toMatchObject({ code: "conflict", message: `cannot listen on TCP port ${a.port}: another program uses it` });
    expect((inUse as UserError).hint).toContain("--port");
    const notOurs = attempt({ host: "192.0.2.77" as Ip });
    expect(notOurs).toMatchObject({
      code: "bad-request",
      message: "cannot listen on 192.0.2.77: it is not an address of this host",
    });
  });

  test("stop lets the last words out and closes everything", async () => {
    await using b = new TestPeer(2);
    const a = new TestPeer(1);
    const { near, far } = await linked(a, b);
    for (let i = 0; i < 30; i++) near.link.send(new Uint8Array(100_000));
    near.link.refuse("leaving");
    await a.transport.stop();
    await waitFor("the end", () => far.closed.length === 1);
    expect(far.messages.length).toBe(30);
    expect(far.closed).toEqual(["leaving"]);
    expect(a.transport.boundAddress).toBeUndefined();
    expect(await b.dial(near.link.localAddress)).toMatchObject({ error: expect.stringContaining("refused") });
  });

  test("stop does not wait for a peer that reads nothing", async () => {
    const held: Link[] = [];
    await using deaf = new TestPeer(2, [], { accepted: (link) => void held.push(link) });
    const a = new TestPeer(1);
    const near = await a.dialled(deaf.address);
    for (let i = 0; i < 30; i++) near.link.send(new Uint8Array(100_000));
    const began = performance.now();
    await a.transport.stop();
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

/** Where something recurs, time is soon that much later. Counts how often. */
class HurriedClock implements Clock {
  readonly #periodMs: number;
  readonly #insteadMs: number;
  #aheadMs: number;
  hurried = 0;
  constructor(periodMs: number, insteadMs: number) {
    this.#periodMs = periodMs;
    this.#insteadMs = insteadMs;
    this.#aheadMs = periodMs - (systemClock.now() % periodMs); // a whole period away from its end
  }
  now(): number {
    return systemClock.now() + this.#aheadMs;
  }
  wallMs(): number {
    return systemClock.wallMs();
  }
  after(delayMs: number, fire: () => void): Disposable {
    if (delayMs < this.#periodMs / 2 || delayMs > this.#periodMs) return systemClock.after(delayMs, fire);
    return systemClock.after(this.#insteadMs, () => {
      this.hurried++;
      this.#aheadMs += delayMs;
      fire();
    });
  }
}

/** Somebody between two ends. */
class Relay implements AsyncDisposable {
  readonly port: number;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets: Socket[] = [];
  tamper: "none" | "flip" | "repeat" | "cut" = "none";

  private constructor(server: ReturnType<typeof createServer>, target: number) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (near) => {
      const far = connect(target, "127.0.0.1");
      this.#sockets.push(near, far);
      for (const socket of [near, far]) socket.on("error", () => far.destroy());
      near.on("data", (data: Buffer) => this.#forward(data, far));
      far.on("data", (data: Buffer) => void near.write(data));
      far.on("close", () => near.destroy());
      near.on("close", () => far.destroy());
    });
  }
  static async to(target: number): Promise<Relay> {
    const server = createServer().listen(0, "127.0.0.1");
    await waitFor("the relay", () => server.listening);
    return new Relay(server, target);
  }
  #forward(data: Buffer, far: Socket): void {
    const { tamper } = this;
    if (tamper === "flip") data[data.length - 1]! ^= 1;
    if (tamper === "cut") far.end(data.subarray(0, 10));
    else far.write(data);
    if (tamper === "repeat") far.write(data);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
