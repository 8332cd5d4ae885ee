// SPDX-License-Identifier: Apache-2.0
// Two hosts choose how their frames travel: the best way first, another in time, and back again; never clear where that is forbidden.
import { describe, expect, test } from "bun:test";
import type { PathKind } from "../../src/overlay/plan.ts";
import { MTU_BYTES, PathWorld } from "./harness/path-world.ts";

const ENCRYPTED = { passwordUsed: true } as const;
const CASES: readonly (readonly [best: PathKind, options: { passwordUsed?: boolean }])[] = [
  ["fastdp", {}],
  ["wireguard", ENCRYPTED],
];
const both = (kind: string): string => `${kind} ${kind}`;

for (const [best, options] of CASES) {
  describe(`${best} first`, () => {
    function connected(): PathWorld {
      const world = new PathWorld(options);
      world.connect();
      world.runUntil(() => world.use() === both(best), 20, `on ${best}`);
      return world;
    }

    test("a new connection takes it within milliseconds and never opens the sleeve", () => {
      const world = connected();
      world.run(5_000);
      expect(world.use()).toBe(both(best));
      expect(world.a.opened.length + world.b.opened.length).toBe(0);
      expect(world.a.overlay.pathOf(world.b.name)).toMatchObject({
        transport: "fastdp",
        encrypted: options.passwordUsed ?? false,
        mtuBytes: MTU_BYTES,
        reason: "",
      });
    });

    test("blocked from the beginning, the sleeve carries, and says why", () => {
      const world = new PathWorld(options);
      world.weather[best].largest = 0;
      world.connect();
      expect(world.runUntil(() => world.use() === both("sleeve"), 2_000, "on the sleeve")).toBeLessThan(1_300);
      expect(world.a.overlay.pathOf(world.b.name)?.reason).toMatch(/fastdp: not answered yet$/);
    });

    test("blocked later, frames go on over the sleeve in under 3 s without the neighbour being taken for dead", () => {
      const world = connected();
      world.run(10_000);
      world.weather[best].largest = 0;
      expect(world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve")).toBeLessThan(2_500);
      world.run(5_000);
      expect([world.a.deadAt, world.b.deadAt]).toEqual([undefined, undefined]);
      expect(world.a.overlay.pathOf(world.b.name)?.reason).toMatch(/fastdp: no answer/);
    });

    test("unblocked after minutes, it is taken again within a minute, and the sleeve is let go", () => {
      const world = connected();
      world.weather[best].largest = 0;
      world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve");
      world.run(600_000);
      world.weather[best].largest = 65_535;
      expect(world.runUntil(() => world.use() === both(best), 60_000, "back")).toBeLessThan(30_000);
      world.run(120_000);
      expect([world.a.sleeves.size, world.b.sleeves.size]).toEqual([0, 0]);
      expect([world.a.deadAt, world.b.deadAt]).toEqual([undefined, undefined]);
    });

    test("only large frames lost: the sleeve carries, small ones do not lure us back, until they all get through", () => {
      const world = new PathWorld(options);
      world.weather[best].largest = 1124;
      world.connect();
      world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve");
      expect(world.a.overlay.pathOf(world.b.name)?.reason).toMatch(/large packets do not get through/);
      for (let i = 0; i < 100; i++) {
        world.run(1_000);
        expect(world.use()).toBe(both("sleeve"));
      }
      world.weather[best].largest = 65_535;
      world.runUntil(() => world.use() === both(best), 60_000, "back");
    });

    test("large frames lost later are noticed under traffic", () => {
      const world = connected();
      world.run(10_000);
      world.weather[best].largest = 1124;
      for (let i = 0; world.use() !== both("sleeve"); i++) {
        if (i > 8_000) throw new Error("never noticed");
        world.a.sentBytes += 1_000;
        world.run(1);
      }
    });

    test("a way that comes and goes is not trusted more often each time", () => {
      const world = connected();
      let changes = 0;
      let before = world.use();
      for (let i = 0; i < 600; i++) {
        world.weather[best].largest = i % 8 < 4 ? 65_535 : 0;
        for (let k = 0; k < 10; k++) {
          world.run(100);
          if (world.use() !== before) changes++;
          before = world.use();
        }
      }
      expect(changes).toBeLessThan(160);
    });

    test("a tenth of all datagrams lost each way does not move anybody", () => {
      const world = connected();
      for (const weather of Object.values(world.weather)) weather.loss = 0.1;
      for (let i = 0; i < 300; i++) {
        world.run(1_000);
        expect(world.use()).toBe(both(best));
      }
    });

    test("a new control connection changes nothing that works, and no secret is used twice", () => {
      const world = connected();
      world.weather[best].largest = 0;
      world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve");
      for (let i = 0; i < 5; i++) {
        world.connect();
        for (let k = 0; k < 20; k++) {
          world.run(50);
          expect(world.use()).toBe(both("sleeve"));
        }
      }
      expect([world.a.deadAt, world.b.deadAt]).toEqual([undefined, undefined]);
      const indices = world.a.opened.map(({ localIndex }) => localIndex);
      expect(new Set(indices).size).toBe(indices.length);
      if (!options.passwordUsed) return;
      const secrets = world.a.opened.map(({ secret }) => secret!.toHex());
      expect(new Set(secrets).size).toBe(secrets.length);
    });

    test("a cut of everything is told as quickly while the sleeve is open, and nothing is taken for alive that does not answer", () => {
      const world = connected();
      world.weather[best].largest = 0;
      world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve");
      world.weather[best].largest = 65_535;
      world.runUntil(() => world.use() === both(best), 60_000, "back");
      world.run(5_000);
      for (const weather of Object.values(world.weather)) weather.largest = 0;
      const cutAt = world.time.now();
      world.runUntil(() => world.a.deadAt !== undefined && world.b.deadAt !== undefined, 3_000, "dead for both");
      expect(world.time.now() - cutAt).toBeLessThan(2_800);
    });

    test("what was said on a connection that broke is said again on the next", () => {
      const world = connected();
      world.run(1_000);
      world.weather[best].largest = 0;
      world.runUntil(() => world.use() === both("sleeve"), 3_000, "on the sleeve");
      world.run(5_000);
      world.controlUp = false; // nobody hears that it works again
      world.weather[best].largest = 65_535;
      world.run(60_000);
      world.controlUp = true;
      world.connect();
      world.runUntil(() => world.use() === both(best), 2_000, "back");
    });

    test("without it on one end there is only the sleeve, at once, and the reason", () => {
      const world = new PathWorld(options, { ...options, fastdp: false });
      world.connect();
      expect(world.runUntil(() => world.use() === both("sleeve"), 1_000, "on the sleeve")).toBeLessThan(20);
      expect(world.a.overlay.pathOf(world.b.name)?.reason).toMatch(/switched off/);
    });
  });
}

describe("a password", () => {
  test("keeps clear ways out of the plan, whatever works", () => {
    const world = new PathWorld(ENCRYPTED);
    world.weather.wireguard.largest = 0;
    world.connect();
    for (let i = 0; i < 200; i++) {
      world.run(20);
      const entry = world.a.plan?.neighbours.get(world.b.shortId);
      expect(entry?.accept.some(({ kind }) => kind === "fastdp")).toBeFalsy();
    }
    expect(world.a.sleeves.size).toBe(1);
    expect([...world.a.sleeves.values()][0]).toMatchObject({ cipher: "aes256gcm", secret: expect.any(Uint8Array) });
    expect(world.a.probesSent.some(({ kind }) => kind === "fastdp")).toBe(false);
  });

  test("between networks that trust each other is not needed", () => {
    const world = new PathWorld({ passwordUsed: true, trusted: true });
    world.connect();
    world.runUntil(() => world.use() === both("fastdp"), 20, "on fastdp");
  });

  test("takes the cipher both have, and without one says so", () => {
    const world = new PathWorld(
      { ...ENCRYPTED, wireguard: false },
      { ...ENCRYPTED, wireguard: false, ciphers: ["chacha20poly1305"] },
    );
    world.connect();
    world.runUntil(() => world.use() === both("sleeve"), 100, "on the sleeve");
    expect([...world.a.sleeves.values()][0]?.cipher).toBe("chacha20poly1305");
  });

  test("and neither WireGuard nor sleeve: nothing flows, and the reason is told", () => {
    const world = new PathWorld({ ...ENCRYPTED, wireguard: false, sleeve: false });
    world.connect();
    expect(world.a.overlay.pathOf(world.b.name)?.reason).toMatch(/no transport is left: the kernel has no WireGuard/);
    expect(world.use()).toBe("none none");
  });
});

describe("a daemon that restarts", () => {
  for (const [best, options] of CASES) {
    test(`goes on over the ${best} path its kernel has been using`, () => {
      const world = new PathWorld(options);
      world.connect();
      world.runUntil(() => world.use() === both(best), 100, "connected");
      world.run(1_000);
      world.a.left = world.a.plan;
      world.a.overlay.stop();
      world.a.start();
      world.a.overlay.takeUp();
      expect(world.a.overlay.open(world.a.facts(undefined))).toBeUndefined();
      world.connect();
      for (let i = 0; i < 100; i++) {
        world.run(10);
        expect(world.use()).toBe(both(best));
      }
    });
  }
});

test("a neighbour that closes leaves no sleeve and no WireGuard peer behind", () => {
  const world = new PathWorld(ENCRYPTED);
  world.weather.wireguard.largest = 0;
  world.connect();
  world.runUntil(() => world.use() === both("sleeve"), 2_000, "on the sleeve");
  world.a.overlay.close(world.b.name);
  expect(world.a.sleeves.size).toBe(0);
  expect(world.a.peers).toEqual([]);
  expect(world.a.plan?.neighbours.size).toBe(0);
});

test("bytes that are no message change nothing", () => {
  const world = new PathWorld(ENCRYPTED);
  world.connect();
  world.runUntil(() => world.use() === both("wireguard"), 100, "connected");
  for (let i = 0; i < 2_000; i++) {
    const length = world.random.below(60);
    const noise = Uint8Array.from({ length }, (_, at) => (at === 0 ? 0x90 + world.random.below(16) : world.random.below(256)));
    world.a.overlay.received(world.b.name, world.a.session!, noise);
  }
  world.run(2_000);
  expect(world.use()).toBe(both("wireguard"));
});
