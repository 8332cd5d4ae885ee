// SPDX-License-Identifier: Apache-2.0
// Links over real sockets on loopback.
import { describe, expect, test } from "bun:test";
import { helloOf, linked, TestPeer } from "../../support/transport.ts";
import { waitFor } from "../../support/wait.ts";

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);

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
    await using b = new TestPeer(2, ["secret"], { everywhere: true });
    const over6 = await a.dialled(`[::1]:${b.port}`);
    const over4 = await a.dialled(`127.0.0.1:${b.port}`);
    await waitFor("both links", () => b.accepted.length === 2);
    expect([over6.link.remoteAddress, over4.link.remoteAddress]).toEqual([`[::1]:${b.port}`, `127.0.0.1:${b.port}`]);
    expect(b.accepted.map(({ link }) => link.remoteAddress)).toEqual([over6.link.localAddress, over4.link.localAddress]);
  });
});
