// SPDX-License-Identifier: Apache-2.0
// A peer that was let in and lies. It can spoil its own connections; what it says of others must not stick, and costs them little.
import { describe, expect, test } from "bun:test";
import { encodeMessage } from "../../src/mesh/codec.ts";
import type { Message } from "../../src/mesh/message.ts";
import { type PeerRecord, VERSION_MAX } from "../../src/mesh/record.ts";
import { entryTo, peerName, range, recordOf } from "../support/records.ts";
import { faults, seeEachOther } from "./harness/checks.ts";
import type { SimHost } from "./harness/host.ts";
import { meshAtRest, meshOfPairs, SEEDS, type Setup } from "./harness/setups.ts";

/** The liar's words, to all its neighbours. */
function say(liar: SimHost, ...messages: Message[]): void {
  for (const message of messages) for (const link of [...liar.links]) link.send(encodeMessage(message));
}

function own(host: SimHost) {
  const { self, peers } = host.mesh!.view();
  return { ...self, version: peers.find((peer) => peer.name === self.name)!.version };
}

/** A record of `victim` that says it is alone. */
function forged(victim: SimHost, change: Partial<PeerRecord>): PeerRecord {
  const { uid, shortId } = own(victim);
  return recordOf(victim.name, [], { uid, shortId, ...change });
}

function chain(length: number, seed: number): Setup {
  const setup = meshOfPairs(
    length,
    Array.from({ length: length - 1 }, (_, i) => [i, i + 1] as const),
    seed,
  );
  setup.world.runUntil(() => seeEachOther(setup.hosts), 5000, "a chain");
  setup.world.run(3000);
  return setup;
}

const LIES = [
  { what: "its own life in the last version", uid: (victim: SimHost) => own(victim).uid, version: () => VERSION_MAX },
  { what: "another life in the last version", uid: () => "ffffffffffffffff", version: () => VERSION_MAX },
  {
    what: "another life half the circle ahead",
    uid: () => "ffffffffffffffff",
    version: (v: SimHost) => own(v).version + 2 ** 52 - 1,
  },
  {
    what: "its own life, one version on",
    uid: (victim: SimHost) => own(victim).uid,
    version: (v: SimHost) => own(v).version + 1,
  },
];

describe("a forged record of somebody else", () => {
  for (const { what, uid, version } of LIES) {
    for (const seed of SEEDS.slice(0, 3)) {
      test(`(${what}) is not believed by whoever is connected with that peer (seed ${seed})`, () => {
        const { world, hosts } = meshAtRest(5, seed);
        const [victim, liar] = [hosts[1]!, hosts[4]!];
        const before = hosts.map((host) => host.routeChanges);
        say(liar, { type: "record", root: liar.name, record: forged(victim, { uid: uid(victim), version: version(victim) }) });
        world.run(20_000);
        expect(hosts.map((host) => host.routeChanges)).toEqual(before);
        expect(faults(world)).toEqual([]);
      });

      test(`(${what}) is set right by that peer where it was believed (seed ${seed})`, () => {
        const { world, hosts } = chain(6, seed);
        const [victim, liar] = [hosts[0]!, hosts[4]!];
        say(liar, { type: "record", root: liar.name, record: forged(victim, { uid: uid(victim), version: version(victim) }) });
        world.run(20_000);
        expect(faults(world)).toEqual([]);
      });
    }
  }

  test("again and again does not make that peer talk more than now and then", () => {
    const { world, hosts } = meshAtRest(5, 1);
    const [victim, liar] = [hosts[1]!, hosts[4]!];
    const first = own(victim).version;
    for (const i of range(1, 2000)) {
      say(liar, { type: "welcome", knownUid: i.toString(16).padStart(16, "0"), knownVersion: first + i });
      world.run(5);
    }
    world.run(20_000);
    const raised = world.hosts.map((host) => host.mesh!.view().peers.find((peer) => peer.name === host.name)!.version);
    expect(raised.length).toBe(5);
    expect(victim.sentBytes).toBeLessThan(200_000);
    expect(faults(world)).toEqual([]);
  });
});

describe("a peer that claims every short id somebody draws", () => {
  test("keeps it from drawing for ever, and is named", () => {
    const { world, hosts } = meshAtRest(5, 1);
    const [victim, liar] = [hosts[1]!, hosts[4]!];
    const before = hosts[0]!.routeChanges;
    const liars = liar.mesh!.view().peers.find((peer) => peer.name === liar.name)!;
    const connections = new Map(liars.connections.map((entry) => [entry.peer, { ...entry, cut: false, latencyClass: 0 }]));
    for (const i of range(1, 500)) {
      const { shortId } = own(victim);
      const { uid, nickname } = liars;
      const key = Buffer.from(liar.options.publicKey).toString("hex");
      const record = recordOf(liar.name, [], { uid, nickname, key, shortId, version: liars.version + i, connections });
      say(liar, { type: "record", root: liar.name, record });
      world.run(30);
    }
    expect(own(victim).version).toBeLessThan(20);
    expect(hosts[0]!.routeChanges - before).toBeLessThan(30);
    expect(victim.mesh!.view().warnings.join()).toContain(liar.options.nickname);
  });
});

describe("made-up peers", () => {
  test("by the thousand, named in records, changes and questions, hold nobody up", () => {
    const { world, hosts } = meshAtRest(4, 2);
    const liar = hosts[3]!;
    const strangers = [...range(1_000_000, 6000)];
    for (let at = 0; at < strangers.length; at += 2000) {
      const some = strangers.slice(at, at + 2000);
      say(liar, { type: "records", records: some.map((name) => recordOf(name)), want: some.map(peerName) });
      say(liar, { type: "list", versions: some.map((name) => recordOf(name)) });
      const record = recordOf(5_000_000 + at, some);
      say(liar, { type: "record", root: peerName(7_000_000 + at), record });
    }
    for (const name of strangers) {
      const changed = [entryTo(peerName(name + 1))];
      const { uid, shortId } = recordOf(name);
      const delta = { name: peerName(9_000_000 + name), uid, base: 5, version: 6, shortId, removed: [], changed };
      say(liar, { type: "suspect", peer: peerName(name) });
      say(liar, { type: "delta", root: peerName(name), delta });
    }
    world.run(90_000);
    expect(seeEachOther(hosts)).toBe(true);
    expect(faults(world)).toEqual([]);
  }, 20_000);
});
