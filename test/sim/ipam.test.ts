// SPDX-License-Identifier: Apache-2.0
// Address allocation in a simulated network: how rings begin, churn with kills, replacements and partitions, space that comes back, hand-over. In all
// of them no two hosts have given out one address, and every request is answered or refused.
import { describe, expect, test } from "bun:test";
import type { Lease } from "../../src/ipam/lease.ts";
import { toNumber } from "../../src/ipam/range.ts";
import { parseCidr } from "../../src/net/cidr.ts";
import { parseIp } from "../../src/net/ip.ts";
import { UserError } from "../../src/runtime/errors.ts";
import { pick } from "../../src/runtime/random.ts";
import { peerName } from "../support/records.ts";
import { type IpamHost, IpamWorld } from "./harness/ipam-world.ts";

const SEED = Number(process.env["WEAVE_SEED"] ?? 1);
const cidr = (text: string) => parseCidr(text)!;

interface Asked {
  lease: Lease | undefined;
  error: UserError | undefined;
}
function ask(host: IpamHost, owner: string, subnet: string, signal?: AbortSignal): Asked {
  const asked: Asked = { lease: undefined, error: undefined };
  host.allocator!.allocate(owner, cidr(subnet), "api", "v4", signal).then(
    (lease) => {
      asked.lease = lease;
    },
    (thrown: unknown) => {
      if (!(thrown instanceof UserError)) throw thrown;
      asked.error = thrown;
    },
  );
  return asked;
}
const isOver = (asked: Asked): boolean => asked.lease !== undefined || asked.error !== undefined;

describe("a ring begins", () => {
  test("at once on a lone host", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/12");
    const first = ask(world.add(), "web", "10.32.0.0/12");
    await world.run(100);
    expect(first.lease?.address).toBe(toNumber(parseIp("10.32.0.1")!));
  });

  test("with 200 peers, of which any may ask first", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/12");
    world.electors = 200;
    for (let i = 0; i < 200; i++) world.add();
    await world.run(1_000);
    const asked = world.hosts.map((host) => ask(host, "web", "10.32.0.0/12"));
    await world.runUntil(() => asked.every(isOver), 60_000, "answered");
    expect(asked.map((one) => one.error?.message).filter(Boolean)).toEqual([]);
    expect(new Set(asked.map((one) => one.lease?.address)).size).toBe(200);
    expect(world.faults()).toEqual([]);
  }, 120_000);

  test("not in two halves that were started apart; when they meet both get their answers from one ring", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    world.electors = 4;
    for (let i = 0; i < 4; i++) world.add().group = i % 2;
    const asked = world.hosts.map((host) => ask(host, "web", "10.32.0.0/24"));
    await world.run(50_000);
    expect(asked.filter(isOver)).toEqual([]);
    expect(world.hosts[0]!.allocator!.view().status).toBe("awaiting consensus (quorum: 3, known: 2)");
    for (const host of world.hosts) host.group = 0;
    await world.runUntil(() => asked.every(isOver), 9_000, "answered");
    expect(new Set(asked.map((one) => one.lease?.address)).size).toBe(4);
    expect(world.faults()).toEqual([]);
  });

  test("once among hosts that each know of another number of electors, as soon as they have met", async () => {
    for (let seed = SEED; seed < SEED + 100; seed++) {
      const world = new IpamWorld(seed, "10.32.0.0/24");
      // As with: launch; launch h1; launch h1.
      for (const electors of [1, 2, 2]) world.add().electors = electors;
      await world.run(world.random.below(1_500));
      const asked = world.hosts.map((host) => ask(host, "web", "10.32.0.0/24"));
      await world.runUntil(() => asked.every(isOver), 20_000, "answered");
      await world.run(2_000);
      expect([seed, world.faults(), world.hosts[0]!.allocator!.view().strangers]).toEqual([seed, [], []]);
    }
  }, 20_000);

  test("a host that has lost its disk learns the ring from the others, although it could make one by itself", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    const [a, b] = [world.add(), world.add()];
    await world.run(1_000);
    const asked = [ask(a, "web", "10.32.0.0/24"), ask(b, "web", "10.32.0.0/24")];
    await world.runUntil(() => asked.every(isOver), 10_000, "answered");
    a.kill();
    a.journal.memory = undefined;
    a.journal.leases.clear();
    const { address } = asked[0]!.lease!;
    a.start().adopt({ address, owner: "web", prefixLength: 24, family: "v4", via: "attach" });
    const more = [ask(a, "db", "10.32.0.0/24"), ask(b, "db", "10.32.0.0/24")];
    await world.runUntil(() => more.every(isOver), 10_000, "answered");
    await world.run(2_000);
    expect(a.allocator!.view().strangers).toEqual([]);
    expect(new Set([...asked, ...more].map((one) => one.lease?.address)).size).toBe(4);
    expect(world.faults()).toEqual([]);
  });

  test("on a host that waited for others, was started again and is alone now", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    world.electors = 3;
    const host = world.add();
    const first = ask(host, "web", "10.32.0.0/24");
    await world.run(5_000);
    expect(isOver(first)).toBe(false);
    host.kill();
    world.electors = 1;
    host.start();
    const again = ask(host, "web", "10.32.0.0/24");
    await world.run(5_000);
    expect(again.lease).toBeDefined();
  });

  test("a wish that nobody can grant costs little for as long as it lasts", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    world.electors = 5;
    const [host] = [world.add(), world.add()];
    const late = ask(host!, "web", "10.32.0.0/24");
    await world.run(60_000);
    expect(isOver(late)).toBe(true);
    const before = host!.journal.commits;
    await world.run(600_000);
    expect(host!.journal.commits - before).toBeLessThan(120);
  });

  test("a request that waits for consensus is refused at its deadline and says what is missing; one that is given up ends at once", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    world.electors = 4;
    const host = world.add();
    const late = ask(host, "web", "10.32.0.0/24");
    const gone = new AbortController();
    const cancelled = ask(host, "db", "10.32.0.0/24", gone.signal);
    gone.abort();
    await world.run(100);
    expect(cancelled.error?.code).toBe("unavailable");
    expect(host.allocator!.view().pendingAllocates).toEqual(["web 10.32.0.0/24"]);
    await world.run(60_000);
    expect(late.error?.message).toContain(
      "within 60 s: the peers have not agreed yet how to share addresses out (quorum: 3, known: 1)",
    );
    expect(host.allocator!.view().pendingAllocates).toEqual([]);
  });

  test("seeds agree apart, without a word; observers wait, and their wish makes electors begin", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    const seeds = { by: "seed", founders: [peerName(1), peerName(2)] } as const;
    const [a, b] = [world.add({ init: seeds }), world.add({ init: seeds })];
    b.group = 1;
    const asked = [ask(a, "web", "10.32.0.0/24"), ask(b, "web", "10.32.0.0/24")];
    await world.run(1_000);
    expect(new Set(asked.map((one) => one.lease?.address)).size).toBe(2);
    b.group = 0;
    await world.run(2_000);
    expect(a.allocator!.view().entries).toEqual(b.allocator!.view().entries);

    const other = new IpamWorld(SEED, "10.32.0.0/24");
    other.electors = 2;
    const observer = other.add({ init: { by: "observer" } });
    const wish = ask(observer, "web", "10.32.0.0/24");
    await other.run(20_000);
    expect(observer.allocator!.view().status).toBe("priming");
    expect(isOver(wish)).toBe(false);
    other.add();
    other.add();
    await other.runUntil(() => isOver(wish), 20_000, "answered");
    expect(wish.lease).toBeDefined();
  });
});

describe("space", () => {
  async function pair(range: string): Promise<[IpamWorld, IpamHost, IpamHost]> {
    const world = new IpamWorld(SEED, range);
    world.electors = 2;
    const hosts: [IpamHost, IpamHost] = [world.add(), world.add()];
    await Promise.all([...hosts.map((host) => host.allocator!.ready()), world.run(10_000)]);
    return [world, ...hosts];
  }

  test("moves to where it is needed until the last address, then requests are refused at once", async () => {
    const [world, a] = await pair("10.32.0.0/26");
    const asked = Array.from({ length: 63 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/26"));
    await world.runUntil(() => asked.every(isOver), 30_000, "answered");
    expect(asked.filter((one) => one.lease)).toHaveLength(62);
    expect(asked.find((one) => one.error)?.error?.message).toBe("no address is free in 10.32.0.1-10.32.0.62: all 62 are in use");
    expect(world.faults()).toEqual([]);
  });

  test("addresses claimed out of another's space and released leave no holes", async () => {
    const [world, a, b] = await pair("10.32.0.0/24");
    const claims = Array.from({ length: 20 }, (_, i) => toNumber(parseIp("10.32.0.130")!) + 5 * i).map((address) =>
      a.allocator!.claim({ address, owner: `c${address}`, prefixLength: 24, family: "v4", via: "api" }),
    );
    await Promise.all([...claims, world.run(2_000)]);
    expect(a.allocator!.view().entries.length).toBeGreaterThan(40);
    for (const { owner, address } of a.allocator!.leases()) void a.allocator!.release(owner, address);
    await world.run(60_000);
    for (const host of [a, b]) expect(host.allocator!.view().entries.map((one) => one.addresses)).toEqual([128, 128]);
  });

  test("a request that only an unreachable peer could grant says whom it waits for, and is granted when that is back", async () => {
    const [world, a, b] = await pair("10.32.0.0/28");
    const own = Array.from({ length: 7 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/28"));
    await world.run(500);
    expect(own.every((one) => one.lease)).toBe(true);
    b.group = 1;
    const [late, later] = [ask(a, "late", "10.32.0.0/28"), ask(a, "later", "10.32.0.0/28")];
    await world.run(59_000);
    expect(isOver(late)).toBe(false);
    expect(a.allocator!.view().status).toBe("waiting for IP(s) to become available");
    expect(a.allocator!.view().waitingFor).toEqual([{ peer: b.name, nickname: "host2" }]);
    await world.run(2_000);
    expect(late.error?.message).toBe(
      "no address in 10.32.0.0/28 for 'late' within 60 s: no answer from 00:00:00:00:00:02(host2), who have space there",
    );
    expect(later.error?.hint).toBe("if they will not come back: weave rmpeer");
    const last = ask(a, "last", "10.32.0.0/28");
    await world.run(10_000);
    b.group = 0;
    await world.runUntil(() => isOver(last), 5_000, "answered");
    expect(last.lease).toBeDefined();
  });

  test("a host that does not know yet what is in use there gives nothing away", async () => {
    const [world, a, b] = await pair("10.32.0.0/28");
    b.kill();
    b.start({ open: false });
    const more = Array.from({ length: 8 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/28"));
    await world.run(5_000);
    expect(more.filter((one) => one.lease)).toHaveLength(7);
    b.allocator!.open();
    await world.runUntil(() => more.every((one) => one.lease), 5_000, "answered");
  });

  test("an address rests after its release, but not when nothing else is free, nor for its owner", async () => {
    const [world, a] = await pair("10.32.0.0/28");
    const first = ask(a, "web", "10.32.0.0/28");
    await world.run(100);
    void a.allocator!.release("web", first.lease!.address);
    const [other, again] = [ask(a, "db", "10.32.0.0/28"), ask(a, "web", "10.32.0.0/28")];
    await world.run(100);
    expect(other.lease?.address).toBe(first.lease!.address + 1);
    expect(again.lease?.address).toBe(first.lease!.address);
    const rest = Array.from({ length: 12 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/28"));
    await world.runUntil(() => rest.every(isOver), 10_000, "answered");
    void a.allocator!.release("web", first.lease!.address);
    const last = ask(a, "late", "10.32.0.0/28");
    await world.runUntil(() => isOver(last), 10_000, "answered");
    expect(last.lease?.address).toBe(first.lease!.address);
  });

  test("an address that another host holds is refused by name; a free one there comes over; the space of a host that is away does not", async () => {
    const [world, a, b] = await pair("10.32.0.0/24");
    const held = ask(b, "db", "10.32.0.0/24");
    await world.run(100);
    const claim = async (address: number): Promise<Lease | UserError> => {
      const wanted: Lease = { address, owner: "web", prefixLength: 24, family: "v4", via: "api" };
      const result = a.allocator!.claim(wanted).catch((thrown: unknown) => thrown as UserError);
      await world.run(12_000);
      return result;
    };
    const refused = await claim(held.lease!.address);
    expect(String(refused)).toContain("it is held by 'db' on peer 00:00:00:00:00:02(host2)");
    expect(await claim(held.lease!.address + 1)).toMatchObject({ owner: "web" });
    b.group = 1;
    expect(String(await claim(held.lease!.address + 2))).toContain("which cannot be reached");
    expect(world.faults()).toEqual([]);
  });

  test("a restart keeps leases, ring and quarantine; a full disk gives nothing out", async () => {
    const [world, a] = await pair("10.32.0.0/24");
    const asked = [ask(a, "web", "10.32.0.0/24"), ask(a, "db", "10.32.0.0/24")];
    await world.run(100);
    void a.allocator!.release("db", asked[1]!.lease!.address);
    await world.run(100);
    a.kill();
    a.start();
    const [again, other] = [ask(a, "web", "10.32.0.0/24"), ask(a, "new", "10.32.0.0/24")];
    await world.run(100);
    expect(again.lease?.address).toBe(asked[0]!.lease!.address);
    expect(other.lease?.address).toBe(asked[1]!.lease!.address + 1);
    a.journal.isFull = true;
    const full = ask(a, "full", "10.32.0.0/24");
    await world.run(100);
    expect(full.error?.message).toContain("disk is full");
    expect(a.allocator!.leasesOf("full")).toEqual([]);
    a.journal.isFull = false;
    await world.run(2_000);
    expect(world.faults()).toEqual([]);
  });

  test("requests of one turn share one commit", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/16");
    const host = world.add();
    await Promise.all([host.allocator!.ready(), world.run(1_000)]);
    const before = host.journal.commits;
    const asked = Array.from({ length: 500 }, (_, i) => ask(host, `c${i}`, "10.32.0.0/16"));
    await world.run(100);
    expect(asked.filter((one) => one.lease)).toHaveLength(500);
    expect(host.journal.commits - before).toBe(1);
  });

  test("a host that leaves hands its space over", async () => {
    const [world, a, b] = await pair("10.32.0.0/24");
    const left = a.allocator!.leave();
    await world.run(5_000);
    expect(await left).toBe(true);
    world.remove(a);
    expect(b.allocator!.view().shares.map((share) => [share.peer, share.addresses])).toEqual([[b.name, 256]]);
  });

  test("a peer taken for dead comes back: addresses in use there stay there, the rest is the taker's", async () => {
    const [world, a, b] = await pair("10.32.0.0/24");
    const held = ask(b, "db", "10.32.0.0/24");
    await world.run(100);
    b.group = 1;
    const taken = a.allocator!.takeOver(b.name);
    await world.run(100);
    expect(await taken).toBe(128);
    b.group = 0;
    await world.run(5_000);
    expect(b.allocator!.view().conflicts).toEqual([]);
    expect(a.allocator!.view().entries).toEqual(b.allocator!.view().entries);
    expect(b.allocator!.view().shares[0]).toMatchObject({ peer: b.name, addresses: 1 });
    const everything = Array.from({ length: 254 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/24"));
    await world.runUntil(() => everything.every(isOver), 30_000, "answered");
    expect(everything.filter((one) => one.lease)).toHaveLength(253);
    expect(world.faults()).toEqual([]);
    expect(held.lease).toBeDefined();
  });

  test("both have given one address out: one keeps it, the other says so, and nobody disputes for ever", async () => {
    const [world, a, b] = await pair("10.32.0.0/29");
    const held = ask(b, "db", "10.32.0.0/29");
    await world.run(100);
    b.group = 1;
    void a.allocator!.takeOver(b.name);
    const all = Array.from({ length: 6 }, (_, i) => ask(a, `c${i}`, "10.32.0.0/29"));
    await world.runUntil(() => all.every(isOver), 30_000, "answered");
    expect(all.some((one) => one.lease?.address === held.lease?.address)).toBe(true);
    b.group = 0;
    await world.run(5_000);
    const { entries } = a.allocator!.view();
    expect(b.allocator!.view().entries).toEqual(entries);
    expect(b.allocator!.view().conflicts.map((one) => [one.owner, one.peer])).toEqual([["db", a.name]]);
    await world.run(30_000);
    expect(a.allocator!.view().entries).toEqual(entries);
    void b.allocator!.release("db", held.lease!.address);
    await world.run(1_000);
    expect(b.allocator!.view().conflicts).toEqual([]);
  });

  test("hosts of another range or ring are reported and left alone", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/24");
    const [a, b, c] = [world.add(), world.add(), world.add({ range: cidr("10.40.0.0/24") })];
    b.group = 1;
    c.group = 2;
    const asked = [ask(a, "web", "10.32.0.0/24"), ask(b, "web", "10.32.0.0/24"), ask(c, "web", "10.40.0.0/24")];
    await world.run(1_000);
    expect(asked.every((one) => one.lease)).toBe(true);
    const before = a.allocator!.view().entries;
    for (const host of world.hosts) host.group = 0;
    await world.run(5_000);
    const why = a.allocator!.view().strangers.map((one) => `${one.peer} ${one.why}`);
    expect(why.sort()).toEqual([
      "2 its addresses were first shared out among other peers than this host's",
      "3 it allocates from 10.40.0.0-10.40.0.255, this host from 10.32.0.0-10.32.0.255",
    ]);
    expect(a.allocator!.view().entries).toEqual(before);
  });
});

test("of two neither takes over from the other, dead or cut off, and says so; with a third one they do", async () => {
  const world = new IpamWorld(SEED, "10.32.0.0/24", { reclaimAfterMs: 30_000 });
  world.electors = 2;
  const [a, b] = [world.add(), world.add()];
  const asked = world.hosts.map((host) => ask(host, "web", "10.32.0.0/24"));
  await world.run(2_000);
  expect(asked.every((one) => one.lease)).toBe(true);
  b.group = 1;
  await world.run(25_000);
  expect(a.allocator!.view().undecided).toEqual([]);
  await world.run(600_000);
  const shares = (host: IpamHost) => host.allocator!.view().shares.map(({ peer, addresses }) => `${peer} ${addresses}`);
  expect([shares(a).sort(), shares(b).sort()]).toEqual([
    ["1 128", "2 128"],
    ["1 128", "2 128"],
  ]);
  const undecided = (host: IpamHost) => host.allocator!.view().undecided.map(({ peer }) => Number(peer));
  expect([undecided(a), undecided(b)]).toEqual([[2], [1]]);
  // Both go on giving out of their own, and when the cable is mended nothing has to be decided.
  const more = world.hosts.map((host) => ask(host, "db", "10.32.0.0/24"));
  await world.run(1_000);
  expect(more.every((one) => one.lease)).toBe(true);
  b.group = 0;
  expect([undecided(a), undecided(b)]).toEqual([[], []]);
  await world.run(10_000);
  expect([undecided(a), undecided(b), world.faults()]).toEqual([[], [], []]);
  world.remove(b);
  world.add();
  await world.run(60_000);
  expect(shares(a)).toEqual(["1 256"]);
});

test("hosts with other IPv6 twins share the ring and say so until they agree", async () => {
  const world = new IpamWorld(SEED, "10.32.0.0/24", { range6: cidr("fd00:32::/64") });
  world.electors = 3;
  const [a, b, c] = [world.add(), world.add({ range6: cidr("fd00:32::1:0/96") }), world.add({ range6: undefined })];
  const asked = world.hosts.map((host) => ask(host, "web", "10.32.0.0/24"));
  await world.run(5_000);
  expect(new Set(asked.map((one) => one.lease?.address)).size).toBe(3);
  const seen = (host: IpamHost) => host.allocator!.view().otherTwins.map(({ peer, why }) => `${peer} ${why}`);
  const why = "3 its IPv6 addresses are none, this host's in fd00:32::/96";
  expect([seen(a), seen(b)]).toEqual([[why], [why]]); // the same prefix of 96 bits is the same place
  expect(
    seen(c)
      .map((text) => text.slice(0, 1))
      .sort(),
  ).toEqual(["1", "2"]);
  world.remove(c);
  await world.run(301_000);
  expect([seen(a), a.allocator!.view().strangers]).toEqual([[], []]);
});

describe("churn", () => {
  test("500 rounds of kill and replacement among 20 peers, with partitions and loss", async () => {
    const world = new IpamWorld(SEED, "10.32.0.0/22", { reclaimAfterMs: 30_000, deadlineMs: 30_000 });
    world.electors = 20;
    world.loss = 0.02;
    for (let i = 0; i < 20; i++) world.add();
    const requests: { readonly asked: Asked; readonly host: IpamHost; readonly life: unknown; readonly at: number }[] = [];
    const live: { readonly host: IpamHost; readonly owner: string; readonly address: number }[] = [];
    let answered = 0;
    for (let round = 0; round < 500; round++) {
      if (round % 25 === 10) for (const host of world.hosts) host.group = Number(world.random.below(4) === 0);
      if (round % 25 === 15) for (const host of world.hosts) host.group = 0;
      const victim = pick(world.random, world.hosts);
      if (round % 3 === 0) {
        victim.kill(); // and again, from its disk
        victim.start();
      } else if (round % 3 === 1) {
        world.remove(victim);
        world.add().group = victim.group;
      }
      for (let i = 0; i < 6; i++) {
        const host = pick(world.random, world.hosts);
        requests.push({ asked: ask(host, `c${round}-${i}`, "10.32.0.0/22"), host, life: host.allocator, at: world.time.now() });
      }
      await world.run(3_000);
      for (const one of requests.splice(0)) {
        if (one.host.allocator !== one.life) continue; // it was killed meanwhile, and whoever asked with it
        if (one.asked.lease) {
          answered++;
          live.push({ host: one.host, owner: one.asked.lease.owner, address: one.asked.lease.address });
        } else if (!isOver(one.asked)) {
          expect(world.time.now() - one.at).toBeLessThan(34_000);
          requests.push(one);
        }
      }
      while (live.length > 300) {
        const [old] = live.splice(0, 1);
        if (old && world.hosts.includes(old.host)) void old.host.allocator?.release(old.owner, old.address);
      }
      expect([round, world.faults()]).toEqual([round, []]);
    }
    expect(answered).toBeGreaterThan(2000);
    world.loss = 0;
    await world.run(200_000);
    const [one] = world.hosts;
    const dead = one!.allocator!.view().shares.filter((share) => !share.reachable);
    expect(dead).toEqual([]);
    for (const host of world.hosts) expect(host.allocator!.view().entries).toEqual(one!.allocator!.view().entries);
    expect(world.faults()).toEqual([]);
    expect(one!.allocator!.view().entries.length).toBeLessThan(600);
  }, 60_000);
});
