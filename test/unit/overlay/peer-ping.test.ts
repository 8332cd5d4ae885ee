// SPDX-License-Identifier: Apache-2.0
// Measuring the ways to a peer, over a network of four that is nothing but functions: 1 ── 2 ── 3 ── 4.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PeerName, ShortId } from "../../../src/mesh/peer-name.ts";
import type { GossipHandler, Routes } from "../../../src/mesh/ports.ts";
import type { Ip } from "../../../src/net/ip.ts";
import { decodeHopMessage, encodeHopMessage } from "../../../src/overlay/hop-channel.ts";
import type { PathStatus } from "../../../src/overlay/path-status.ts";
import { PeerPing } from "../../../src/overlay/peer-ping.ts";
import type { Path } from "../../../src/overlay/plan.ts";
import { ProtocolError } from "../../../src/runtime/errors.ts";
import { manualClock, peer } from "../mesh/builders.ts";

const FASTDP: Path = { kind: "fastdp", address: "10.0.0.2" as Ip };
const SLEEVE: Path = { kind: "sleeve" };
const other = { encrypted: false, reason: "", sinceMs: 0, mtuBytes: null, rttMs: null } as const;

function pathStatus(changes: Partial<PathStatus> = {}): PathStatus {
  return {
    transport: "fastdp",
    encrypted: false,
    mtuBytes: 1430,
    rttMs: 1.5,
    loss: 0,
    reason: "",
    sinceMs: 0,
    alternatives: [
      { ...other, transport: "fastdp", state: "up" },
      { ...other, transport: "sleeve", state: "up" },
    ],
    ...changes,
  };
}

class Chain {
  readonly time = manualClock();
  readonly pings = new Map<number, PeerPing>();
  readonly handlers = new Map<number, GossipHandler>();
  readonly routes = new Map<number, Map<number, number>>();
  readonly silent = new Set<number>();
  readonly probes: string[] = [];
  /** Round trip of a probe; undefined: it is lost. */
  rttOf: (path: Path) => number | undefined = () => 0.5;

  constructor(size = 4) {
    for (let self = 1; self <= size; self++) {
      const others = Array.from({ length: size }, (_, index) => index + 1).filter((one) => one !== self);
      this.routes.set(self, new Map(others.map((to) => [to, to > self ? self + 1 : self - 1])));
    }
    for (let self = 1; self <= size; self++) this.pings.set(self, this.#create(self));
  }
  #create(self: number): PeerPing {
    return new PeerPing({
      clock: this.time.clock,
      self: peer(self),
      routes: () => this.#routes(self),
      pathOf: (name) => (Math.abs(name - self) === 1 ? pathStatus() : undefined),
      probeable: (name) => (Math.abs(name - self) === 1 ? [FASTDP, SLEEVE] : []),
      largestBytes: (name) => (Math.abs(name - self) === 1 ? 1_430 : undefined),
      probe: async (name, path, _, sizeBytes) => {
        this.probes.push(`${self} ${name} ${path.kind}${sizeBytes === undefined ? "" : ` ${sizeBytes}`}`);
        return this.rttOf(path);
      },
      channel: (handler) => {
        this.handlers.set(self, handler);
        return { broadcast: () => {}, unicast: (to, message) => this.#send(self, to, message) };
      },
    });
  }
  #routes(self: number): Routes {
    const unicast = new Map([...this.routes.get(self)!].map(([to, via]) => [peer(to), peer(via)]));
    return { unicast, trees: new Map(), shortIds: new Map<PeerName, ShortId>() };
  }
  #send(from: number, to: number, message: Uint8Array): boolean {
    if (this.silent.has(to)) return true;
    this.time.clock.after(3, () => this.handlers.get(to)?.received(peer(from), message));
    return this.handlers.has(to);
  }

  /** From peer 1, to its end. */
  async ping(to: number, count = 1, signal = new AbortController().signal, sizeBytes?: number) {
    let isOver = false;
    const result = this.pings.get(1)!.ping(peer(to), count, signal, sizeBytes);
    const watch = result.finally(() => {
      isOver = true;
    });
    watch.catch(() => {});
    for (let step = 0; step < 5_000 && !isOver; step++) {
      await Promise.resolve();
      await new Promise(setImmediate);
      this.time.advance(10);
    }
    return await result;
  }
}

describe("a size", () => {
  const never = new AbortController().signal;
  test("is that of each probe", async () => {
    const chain = new Chain();
    await chain.ping(2, 1, never, 1_430);
    expect(chain.probes).toEqual(["1 2 fastdp 1430", "1 2 sleeve 1430"]);
  });
  test("that does not fit, that is too small for a probe, or of a peer further away is refused before anything is sent", async () => {
    const chain = new Chain();
    expect(chain.ping(2, 1, never, 1_431)).rejects.toThrow("at most 1430");
    expect(chain.ping(2, 1, never, 7)).rejects.toThrow("needs 8");
    expect(chain.ping(3, 1, never, 100)).rejects.toThrow("only for a neighbour");
    expect(chain.probes).toEqual([]);
  });
});

describe("a neighbour", () => {
  test("has each of its paths probed in each round, the one in use and the others", async () => {
    const chain = new Chain();
    chain.rttOf = (path) => (path.kind === "sleeve" ? undefined : 0.5);
    const { paths, route, routeEnd, control } = await chain.ping(2, 3);
    expect(paths.map(({ transport, inUse, series }) => [transport, inUse, series?.sent, series?.rttsMs])).toEqual([
      ["fastdp", true, 3, [0.5, 0.5, 0.5]],
      ["sleeve", false, 3, []],
    ]);
    expect([route.length, routeEnd]).toEqual([1, ""]);
    expect([control.sent, control.rttsMs.length]).toEqual([3, 3]);
  });
  test("is probed no more once nobody waits for it", async () => {
    const chain = new Chain();
    const { control } = await chain.ping(2, 50, AbortSignal.abort());
    expect([control.sent, chain.probes]).toEqual([0, []]);
  });
});

describe("a peer further away", () => {
  test("is found hop by hop, each told by the peer it begins at", async () => {
    const { paths, route, routeEnd, control } = await new Chain().ping(4);
    expect(paths).toEqual([]);
    expect(route.map(({ from, to, path }) => [from, to, path.transport, path.mtuBytes, path.rttMs])).toEqual([
      [peer(1), peer(2), "fastdp", 1430, 1.5],
      [peer(2), peer(3), "fastdp", 1430, 1.5],
      [peer(3), peer(4), "fastdp", 1430, 1.5],
    ]);
    expect(routeEnd).toBe("");
    expect(control.rttsMs.every((rttMs) => rttMs >= 6)).toBe(true);
  });
  test("the route ends where a peer does not answer, has no route, or sends back", async () => {
    const silent = new Chain();
    silent.silent.add(3);
    expect(await silent.ping(4)).toMatchObject({ routeEnd: "silent", route: [{ to: peer(2) }, { to: peer(3) }] });
    const lost = new Chain();
    lost.routes.get(2)!.delete(4);
    expect(await lost.ping(4)).toMatchObject({ routeEnd: "no-route", route: [{ to: peer(2) }] });
    const round = new Chain();
    round.routes.get(3)!.set(4, 2);
    expect(await round.ping(4)).toMatchObject({ routeEnd: "loop" });
  });
  test("that nobody has a route to is not answered", async () => {
    const chain = new Chain();
    chain.routes.get(1)!.delete(4);
    chain.silent.add(4);
    expect(await chain.ping(4)).toMatchObject({ routeEnd: "no-route", route: [], control: { sent: 1, rttsMs: [] } });
  });
  test("is not answered for by another", async () => {
    const chain = new Chain();
    chain.silent.add(4);
    const forged = encodeHopMessage({ type: "tell", token: 0, next: undefined });
    chain.time.clock.after(1, () => chain.handlers.get(1)?.received(peer(3), forged));
    expect((await chain.ping(4)).control.rttsMs).toEqual([]);
  });
});

test("too many at once are refused", async () => {
  const chain = new Chain(2);
  const ping = chain.pings.get(1)!;
  const { signal } = new AbortController();
  const running = Array.from({ length: 16 }, () => ping.ping(peer(2), 1, signal));
  expect(ping.ping(peer(2), 1, signal)).rejects.toThrow("under way already");
  for (let step = 0; step < 10; step++) {
    await new Promise(setImmediate);
    chain.time.advance(10);
  }
  await Promise.all(running);
  expect((await chain.ping(2)).control.sent).toBe(1);
});

describe("messages", () => {
  const PATH = { transport: "sleeve", encrypted: true, mtuBytes: null, rttMs: 0.25 } as const;
  test("come back as they were sent", () => {
    for (const message of [
      { type: "ask", token: 7, destination: peer(9) },
      { type: "tell", token: 2 ** 32 - 1, next: undefined },
      { type: "tell", token: 0, next: { neighbour: peer(3), path: PATH } },
      { type: "tell", token: 0, next: { neighbour: peer(3), path: { ...PATH, mtuBytes: 1400, rttMs: null } } },
    ] as const)
      expect(decodeHopMessage(encodeHopMessage(message))).toEqual(message);
  });
  test("of a later version are passed over, whatever else is refused", () => {
    expect(decodeHopMessage(Uint8Array.of(0x92, 3, 1))).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeHopMessage(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});
