// SPDX-License-Identifier: Apache-2.0
// Gossip channels: everything said reaches everybody, once, over whatever connections there are, and is repaired when it did not.
import { describe, expect, test } from "bun:test";
import { establishedNeighbours, faults, isFullMesh, seeEachOther } from "./harness/checks.ts";
import { meshAtRest, meshOfPairs, SEEDS } from "./harness/setups.ts";
import { WordChannel } from "./harness/word-channel.ts";
import { World } from "./harness/world.ts";

const CHAIN = Array.from({ length: 5 }, (_, i) => [i, i + 1] as const);

describe("a broadcast", () => {
  test("reaches every peer of a full mesh once", () => {
    const { world, hosts } = meshAtRest(20, 1);
    const channels = hosts.map((host) => new WordChannel(host));
    channels[3]!.say("hello");
    world.run(5);
    for (const channel of channels) expect([...channel.words]).toEqual(["hello"]);
    expect(channels.reduce((sum, channel) => sum + channel.merges, 0)).toBe(19);
  });

  test("reaches every peer of a sparse mesh once", () => {
    for (const seed of SEEDS) {
      const world = new World(seed);
      const hosts = world.addHosts(40, { connectionLimit: 8 });
      for (const host of hosts) host.start(host === hosts[0] ? [] : [hosts[world.random.below(hosts.indexOf(host))]!.ip]);
      world.runUntil(() => seeEachOther(hosts), 30_000, "connected");
      world.run(30_000);
      const channels = hosts.map((host) => new WordChannel(host));
      world.run(5000);
      for (let i = 0; i < 10; i++) {
        channels[world.random.below(40)]!.say(`word${i}`);
        world.run(20);
        expect(channels.every((channel) => channel.words.size === i + 1)).toBe(true);
        expect(channels.reduce((sum, channel) => sum + channel.merges, 0)).toBe(39 * (i + 1));
      }
    }
  });

  test("passes peers that do not know its channel", () => {
    const { world, hosts } = meshOfPairs(6, CHAIN, 2);
    world.runUntil(() => seeEachOther(hosts), 3000, "a chain");
    world.run(2000);
    const [first, last] = [new WordChannel(hosts[0]!), new WordChannel(hosts[5]!)];
    first.say("through");
    world.run(10);
    expect([...last.words]).toEqual(["through"]);
  });

  test("passes connections without a data path", () => {
    const world = new World(1);
    const hosts = world.addHosts(4, { passwordUsed: true, discovery: false });
    hosts.forEach((host, index) => void host.start(index === 0 ? [] : [hosts[index - 1]!.address]));
    world.run(5000);
    expect(establishedNeighbours(hosts[1]!).size).toBe(0);
    const channels = hosts.map((host) => new WordChannel(host));
    channels[0]!.say("sealed");
    world.run(10);
    expect([...channels[3]!.words]).toEqual(["sealed"]);
  });

  test("that cannot be read costs no connection and goes no further", () => {
    const { world, hosts } = meshAtRest(5, 3);
    const channels = hosts.map((host) => new WordChannel(host));
    channels[0]!.babble();
    world.run(1000);
    expect(channels.map((channel) => channel.merges)).toEqual([0, 1, 1, 1, 1]);
    expect(faults(world)).toEqual([]);
    expect(isFullMesh(hosts)).toBe(true);
  });
});

describe("a unicast", () => {
  test("goes hop by hop to its one addressee", () => {
    const { world, hosts } = meshOfPairs(6, CHAIN, 2);
    world.runUntil(() => seeEachOther(hosts), 3000, "a chain");
    const channels = hosts.map((host) => new WordChannel(host));
    expect(channels[5]!.write(hosts[0]!, "dear")).toBe(true);
    world.run(10);
    expect(channels.map((channel) => channel.letters.length)).toEqual([1, 0, 0, 0, 0, 0]);
  });

  test("to somebody unknown is refused at once", () => {
    const { world, hosts } = meshAtRest(2, 2);
    const stranger = world.addHost();
    expect(new WordChannel(hosts[0]!).write(stranger, "anybody")).toBe(false);
  });
});

describe("state that was missed", () => {
  test("comes to a newcomer at once", () => {
    const { world, hosts } = meshAtRest(5, 4);
    const channels = hosts.map((host) => new WordChannel(host));
    for (let i = 0; i < 50; i++) channels[i % 5]!.say(`word${i}`);
    world.run(100);
    const late = world.addHost();
    late.start([hosts[2]!.ip]);
    const channel = new WordChannel(late);
    world.runUntil(() => channel.words.size === 50, 2000, "told everything");
  });

  test("is exchanged after a partition, both ways, by everybody", () => {
    for (const seed of SEEDS.slice(0, 4)) {
      const { world, hosts } = meshAtRest(10, seed);
      const channels = hosts.map((host) => new WordChannel(host));
      const left = new Set(hosts.slice(0, 4).map((host) => host.ip));
      const cut = world.network.cut((a, b) => left.has(a) !== left.has(b));
      world.run(20_000);
      channels.forEach((channel, index) => void channel.say(`from${index}`));
      world.run(5000);
      expect(channels[0]!.words.size).toBe(4);
      expect(channels[9]!.words.size).toBe(6);
      cut.heal();
      world.runUntil(() => isFullMesh(hosts), 75_000, "healed");
      world.runUntil(() => channels.every((channel) => channel.words.size === 10), 5000, "told everything");
    }
  });

  test("is repaired when a slow connection had no room for it", () => {
    const { world, hosts } = meshOfPairs(
      3,
      [
        [0, 1],
        [1, 2],
      ],
      5,
    );
    world.runUntil(() => seeEachOther(hosts), 3000, "a chain");
    const channels = hosts.map((host) => new WordChannel(host));
    world.run(1000);
    const cut = world.network.cut((a, b) => a === hosts[1]!.ip && b === hosts[2]!.ip);
    for (let i = 0; i < 60; i++) channels[0]!.say(`${i}`.padStart(20_000, "x"));
    world.run(500);
    const queued = [...hosts[1]!.links].map((link) => link.queuedBytes());
    expect(Math.max(...queued)).toBeLessThan(700_000);
    cut.heal();
    world.runUntil(() => channels[2]!.words.size === 60, 10_000, "repaired");
  });
});
