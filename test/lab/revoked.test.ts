// SPDX-License-Identifier: Apache-2.0
// A peer whose key is revoked is cut off by every transport, whatever it goes on doing: it is kept from hearing of it, so its kernel and
// its sleeve send as before. Runs in the virtual machine too, where encrypted data goes through WireGuard.
//
//   h1 [c1], h2 [c2], bad [c3] on one segment; bad's control connections hang
import { afterEach, expect, test } from "bun:test";
import { decodeProbe, encodeProbe, FrameSocket } from "../support/frames.ts";
import type { Lab } from "../support/lab.ts";
import type { Container, Host } from "../support/lab-host.ts";
import { mesh } from "../support/shapes.ts";
import { PATIENCE, waitFor } from "../support/wait.ts";
import { describeHost, neighboursOf, statusOf } from "../support/weave.ts";
import { hasWireguard, wireguardOf } from "../support/wireguard.ts";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const CUT_OFF_MS = 10_000 * PATIENCE;
/** Nothing for so long: it is cut off. */
const SILENCE_MS = 1_500;
let lab: Lab;
afterEach(async () => await lab?.close());

/** Sends to everybody and to each of the others all the time, and notes when anything came from the others. */
class Talker implements Disposable {
  readonly number: number;
  readonly #container: Container;
  readonly #socket: FrameSocket;
  readonly #mac: string;
  #sequence = 0;
  /** By the sender's number, when it was heard last. */
  readonly heard = new Map<number, number>();

  private constructor(container: Container, number: number, mac: string) {
    this.#container = container;
    this.number = number;
    this.#mac = mac;
    this.#socket = new FrameSocket(this.#container.netns, "ethwe");
  }
  static async at(container: Container, number: number): Promise<Talker> {
    return new Talker(container, number, await container.mac());
  }
  get mac(): string {
    return this.#mac;
  }
  say(to: readonly string[]): void {
    for (const destination of to) {
      this.#socket.send(encodeProbe({ destination, source: this.#mac, sender: this.number, sequence: ++this.#sequence }));
    }
  }
  listen(): void {
    for (const frame of this.#socket.drain()) {
      const probe = decodeProbe(frame);
      if (probe) this.heard.set(probe.sender, performance.now());
    }
  }
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** UDP packets over IPv4 from or to this address, as seen on the underlay. */
function datagramsTo(frames: readonly Uint8Array[], address: string): number {
  const wanted = address.split(".").map(Number);
  return frames.filter(
    (frame) => frame[12] === 8 && frame[13] === 0 && frame[23] === 17 && wanted.every((byte, i) => frame[30 + i] === byte),
  ).length;
}

async function transportOf(host: Host, other: Host): Promise<string> {
  const connection = (await statusOf(host)).router.connections.find(({ peer }) => peer?.nickname === other.name);
  return `${connection?.overlay} ${connection?.encrypted}`;
}

test.each([
  ["clear fastdp", [], "fastdp false"],
  ["the clear sleeve", ["--no-fastdp"], "sleeve false"],
  ["the encrypted sleeve", ["--no-fastdp", "--password", "horse"], "sleeve true"],
  ["encrypted fastdp, where the kernel has WireGuard", ["--password", "horse"], "fastdp true"],
] as const)(
  "over %s: cut off in under 10 s, in both directions",
  async (_, flags, transport) => {
    const made = await mesh("full", 3, ...flags);
    lab = made.lab;
    const [h1, h2, bad] = made.hosts as [Host, Host, Host];
    const isKernel = await hasWireguard(h1);
    const expected = transport === "fastdp true" && !isKernel ? "sleeve true" : transport;
    for (const [from, to] of [
      [h1, bad],
      [h2, bad],
      [bad, h1],
    ] as const) {
      await waitFor(`${expected} at ${from.name}`, async () => (await transportOf(from, to)) === expected, {
        show: () => transportOf(from, to),
      });
    }
    const talkers = await Promise.all(made.containers.map((container, index) => Talker.at(container, index + 1)));
    using stack = new DisposableStack();
    for (const talker of talkers) stack.use(talker);
    const [t1, t2, outcast] = talkers as [Talker, Talker, Talker];
    const speaking = setInterval(() => {
      for (const talker of talkers) {
        talker.say([BROADCAST, ...talkers.filter((other) => other !== talker).map(({ mac }) => mac)]);
        talker.listen();
      }
    }, 10);
    stack.defer(() => clearInterval(speaking));
    await waitFor("everybody to hear everybody", () => talkers.every(({ heard }) => heard.size === 2));

    // It is not told: what it knows of the mesh stays as it was.
    const hook = (name: string) =>
      `chain ${name} { type filter hook ${name} priority 0; tcp sport 6783 drop; tcp dport 6783 drop; }`;
    const hang = `table inet hang {\n${hook("output")}\n${hook("input")}\n}`;
    await bad.must(["nft", "-f", "-"], { stdin: hang });
    const { netns, device } = lab.segment(0).tap(bad);
    using tap = stack.use(new FrameSocket(netns, device, "both"));
    const began = performance.now();
    await h1.mustWeave("rmpeer", "--revoke", bad.name);
    const last = (): number =>
      Math.max(t1.heard.get(3) ?? 0, t2.heard.get(3) ?? 0, outcast.heard.get(1) ?? 0, outcast.heard.get(2) ?? 0);
    await waitFor("silence", () => performance.now() - Math.max(last(), began) > SILENCE_MS, {
      deadlineMs: 20_000,
      show: async () => `last heard ${last() - began} ms after; ${await describeHost(h2)}`,
    });
    const cutOffMs = last() - began;
    console.log(`${expected}: the last frame ${cutOffMs.toFixed(0)} ms after the command was given`);
    expect(cutOffMs).toBeLessThan(CUT_OFF_MS);
    // It goes on sending, and nobody answers it nor sends to it.
    tap.drain();
    await waitFor("more of its frames", () => datagramsTo(tap.drain(), h1.address) > 0);
    expect(datagramsTo(tap.drain(), bad.address)).toBe(0);
    for (const host of [h1, h2]) {
      expect(neighboursOf(await statusOf(host))).toEqual([host === h1 ? "h2" : "h1"]);
      if (expected === "fastdp true") expect((await wireguardOf(host))?.peers.length).toBe(1);
    }

    // Also when it comes back.
    await bad.must(["nft", "delete", "table", "inet", "hang"]);
    await waitFor("it to be told", async () => /revoked/i.test(await bad.mustWeave("status", "connections")), {
      deadlineMs: 30_000,
      everyMs: 100,
    });
    expect(last() - began).toBeLessThan(CUT_OFF_MS);
    expect(t1.heard.get(2)).toBeGreaterThan(performance.now() - 1_000);
  },
  120_000,
);
