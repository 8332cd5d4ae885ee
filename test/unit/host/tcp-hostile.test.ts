// SPDX-License-Identifier: Apache-2.0
// Connections that mean no good, against a real listener on loopback: each ends by itself, the honest ones do not notice.
import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { ADMISSION_LIMITS } from "../../../src/host/tcp-admission.ts";
import { encodePreamble } from "../../../src/mesh/secure/preamble.ts";
import { seededRandom } from "../../../src/runtime/random.ts";
import { endOf } from "../../support/handshake.ts";
import { helloOf, linked, TestPeer } from "../../support/transport.ts";
import { waitFor } from "../../support/wait.ts";

/** A bare connection: what came over it, and whether it is over. */
class Bare {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  isOver = false;
  constructor(port: number, first: Uint8Array = new Uint8Array(0)) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("data", (data: Buffer) => {
      this.received = Buffer.concat([this.received, data]);
    });
    const over = () => {
      this.isOver = true;
    };
    this.socket.on("end", over).on("close", over).on("error", over);
    if (first.length > 0) this.socket.write(first);
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

const preamble = (passwords = 0) =>
  encodePreamble(
    { min: 3, max: 3 },
    { ephemeral: new Uint8Array(32).fill(9), random: new Uint8Array(32), name: helloOf(9).name, passwords },
  );

describe("hostile connections", () => {
  test("who sends nothing, or one byte now and then, is closed at the deadline", async () => {
    await using b = new TestPeer(2, ["secret"], { handshakeMs: 300 });
    using silent = new Bare(b.port);
    using slow = new Bare(b.port);
    const bytes = preamble(1);
    let sent = 0;
    const dripping = setInterval(() => void (slow.isOver || slow.socket.write(bytes.subarray(sent, ++sent))), 5);
    const { tookMs } = await waitFor("both are closed", () => silent.isOver && slow.isOver);
    clearInterval(dripping);
    expect(tookMs).toBeLessThan(1_500);
    expect(sent).toBeGreaterThan(10);
    await waitFor("their places are free", () => b.transport.inHandshake === 0);
    expect(b.refusals()).toEqual({ handshake: 2 });
  });

  test("huge lengths, wrong order, low-order keys and false elements are refused at once", async () => {
    await using b = new TestPeer(2, ["secret"]);
    const head = Buffer.from("weave\x03\x03");
    const frame = (kind: number, length: number, body: Uint8Array) => Buffer.from([length >> 8, length & 255, kind, ...body]);
    const lowOrder = Buffer.from(preamble(1));
    lowOrder.fill(0, 9, 41);
    const attacks = [
      Buffer.concat([head, Buffer.from([0xff, 0xff])]),
      Buffer.concat([head, Buffer.from([0, 5, 1, 2, 3, 4, 5])]),
      Buffer.concat([preamble(1), frame(2, 0xffff, Buffer.alloc(0))]),
      Buffer.concat([preamble(1), frame(3, 48, Buffer.alloc(48))]),
      Buffer.concat([preamble(1), frame(2, 48, Buffer.alloc(48))]),
      Buffer.concat([preamble(1), frame(2, 48, Buffer.alloc(48, 0xff))]),
      Buffer.concat([preamble(1), frame(2, 47, Buffer.alloc(47))]),
      Buffer.concat([lowOrder, frame(2, 48, Buffer.alloc(48, 1))]),
      Buffer.concat([preamble(4), frame(4, 1, Buffer.from([9]))]),
    ];
    for (const [i, attack] of attacks.entries()) {
      using bare = new Bare(b.port, attack);
      await waitFor(`attack ${i} is over`, () => bare.isOver, { deadlineMs: 2_000 });
    }
    await waitFor("all are counted", () => b.refusals()["handshake"] === attacks.length);
    await using a = new TestPeer(1, ["secret"]);
    await linked(a, b);
  });

  test("an impostor's connection yields 32 bytes beyond the preamble, and one word", async () => {
    await using b = new TestPeer(2, ["secret"]);
    const impostor = endOf(true, { passwords: ["guess"] });
    using bare = new Bare(b.port, impostor.start());
    await waitFor("preamble and share", () => bare.received.length >= 80 + 3 + 32);
    expect(bare.received.length).toBe(80 + 3 + 32);
    const step = impostor.receive(bare.received);
    bare.received = Buffer.alloc(0);
    bare.socket.write(step.send);
    await waitFor("the answer", () => bare.isOver);
    expect([...bare.received]).toEqual([0, 1, 4, 2]); // a refusal: wrong password
  });

  test("200 connections at once: those beyond the limits are told or dropped, and none stays", async () => {
    await using b = new TestPeer(2, ["secret"], { handshakeMs: 1_500, limits: ADMISSION_LIMITS });
    const crowd = Array.from({ length: 200 }, () => new Bare(b.port));
    await waitFor("those turned away are over", () => crowd.filter(({ isOver }) => isOver).length >= 192);
    expect(b.transport.inHandshake).toBeLessThanOrEqual(ADMISSION_LIMITS.perAddress);
    expect(b.refusals()["too-many-from-address"]).toBeGreaterThanOrEqual(192);
    const told = crowd.filter(({ received }) => received.subarray(0, 5).toString() === "weave").length;
    expect(told).toBeGreaterThan(0);
    await waitFor("all are over", () => crowd.every(({ isOver }) => isOver));
    for (const bare of crowd) bare[Symbol.dispose]();
    expect(b.transport.inHandshake).toBe(0);
    await using a = new TestPeer(1, ["secret"]);
    await linked(a, b);
  });

  test("200 honest peers at once all get their link when places are enough, none is lost to the rate limit", async () => {
    const limits = { ...ADMISSION_LIMITS, total: 250, perAddress: 250, refillMs: 2 };
    await using b = new TestPeer(2, ["secret"], { limits });
    await using a = new TestPeer(1, ["secret"], { listens: "nowhere" });
    const results = await Promise.all(Array.from({ length: 200 }, () => a.dial(b.address)));
    expect(results.filter((result) => "error" in result)).toEqual([]);
    await waitFor("all links", () => b.accepted.length === 200);
  });

  test("3,000 random strings, cut at random, leave the listener as it was and its memory bounded", async () => {
    await using b = new TestPeer(2, ["secret"], { handshakeMs: 50 });
    const random = seededRandom(20_261_121);
    const honest = preamble(1);
    let before = 0;
    for (let round = 0; round < 60; round++) {
      if (round === 15) before = process.memoryUsage().rss;
      const crowd = Array.from({ length: 50 }, () => {
        const noise = Uint8Array.from({ length: random.below(300) }, () => random.below(256));
        const known = honest.subarray(0, random.below(honest.length + 1));
        const bare = new Bare(b.port, Buffer.concat(random.below(2) === 0 ? [noise] : [known, noise]));
        const ending = random.below(3);
        if (ending === 1) bare.socket.end();
        if (ending === 2) bare.socket.once("connect", () => void bare.socket.resetAndDestroy());
        return bare;
      });
      await waitFor("the crowd is over", () => crowd.every((bare) => bare.isOver));
      for (const bare of crowd) bare[Symbol.dispose]();
    }
    await waitFor("all places are free", () => b.transport.inHandshake === 0);
    expect(b.accepted).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20); // both ends live in this process
  }, 30_000);
});
