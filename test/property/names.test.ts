// SPDX-License-Identifier: Apache-2.0
// Laws of the names that peers gossip, and that hostile bytes, from peers or from clients, cost nothing but a refusal.
import { describe, expect, test } from "bun:test";
import dnsPacket from "dns-packet";
import fc from "fast-check";
import { CHANGES_MAX, decodeDeltas, decodeDigest, encodeDeltas } from "../../src/dns/codec.ts";
import { Directory } from "../../src/dns/directory.ts";
import { type Entry, entryKey } from "../../src/dns/entry.ts";
import { readQuestion } from "../../src/dns/message.ts";
import { parseName } from "../../src/dns/name.ts";
import { type Delta, Replica } from "../../src/dns/replica.ts";
import { Zone } from "../../src/dns/zone.ts";
import { pack } from "../../src/mesh/codec.ts";
import { type Ip, parseIp } from "../../src/net/ip.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";
import { seededRandom } from "../../src/runtime/random.ts";
import { peerName } from "../support/records.ts";

const ip = (text: string): Ip => parseIp(text)!;
const entryOf = (number: number): Entry => ({
  name: `n${number}.weave.local.`,
  container: "c",
  address: ip(`10.32.0.${number + 1}`),
});

/** A writer's life: in each step an entry is added or removed; now and then it starts a new life with what it has. */
const step = fc.record({ entry: fc.nat({ max: 8 }), add: fc.boolean(), newLife: fc.nat({ max: 19 }).map((roll) => roll === 0) });
const life = fc.array(step, { maxLength: 60 });

/** Every delta the writer ever told, and some it told somebody who asked for more; and the writer at the end. */
function play(
  steps: readonly { entry: number; add: boolean; newLife: boolean }[],
  tombstonesMax?: number,
): { writer: Replica; told: Delta[] } {
  const writer = new Replica(1, tombstonesMax);
  const told: Delta[] = [];
  for (const { entry, add, newLife } of steps) {
    const before = newLife ? { epoch: 0, seen: 0, floor: 0 } : writer.standing;
    if (newLife) writer.rise(writer.standing.epoch + 1);
    const written = writer.write(add ? [entryOf(entry)] : [], add ? [] : [entryOf(entry)]);
    if (written.changes.length > 0) told.push(written);
    for (const from of [before, { epoch: 0, seen: 0, floor: 0 }]) {
      const delta = writer.since(from, 5);
      if (delta) told.push(delta);
    }
  }
  return { writer, told };
}

const shown = (replica: Replica): string[] => replica.entries().map(entryKey).sort();

/** Asks until nothing is lacking, as digests do. */
function catchUp(holder: Replica, source: Replica, limit: number): void {
  for (let rounds = 0; rounds < 200; rounds++) {
    const delta = source.since(holder.standing, limit);
    if (!delta) return;
    holder.merge(delta);
  }
  throw new Error("the exchange does not end");
}

describe("a peer's names", () => {
  test("are the same for everybody, in whatever order, how often and with what gaps they heard of them", () => {
    fc.assert(
      fc.property(life, fc.array(fc.nat(), { maxLength: 200 }), fc.integer({ min: 1, max: 5 }), (steps, picks, limit) => {
        const { writer, told } = play(steps);
        const holder = new Replica();
        for (const pick of picks) if (told.length > 0) holder.merge(told[pick % told.length]!);
        catchUp(holder, writer, limit);
        expect(shown(holder)).toEqual(shown(writer));
        expect(holder.standing.seen).toBe(writer.standing.seen);
        for (const delta of told) holder.merge(delta); // all of them once more: nothing comes back
        expect(shown(holder)).toEqual(shown(writer));
      }),
      { numRuns: 500 },
    );
  });

  test("are so too when next to no removal is remembered, by the writer, those on the way, and the one who asks", () => {
    const few = fc.nat({ max: 2 });
    const parties = fc.record({ writer: few, relay: few, holder: few });
    fc.assert(
      fc.property(
        life,
        fc.array(fc.nat(), { maxLength: 200 }),
        parties,
        fc.integer({ min: 1, max: 5 }),
        (steps, picks, max, limit) => {
          const { writer, told } = play(steps, max.writer);
          const [relay, holder] = [new Replica(0, max.relay), new Replica(0, max.holder)];
          for (const pick of picks) {
            const delta = told[pick % told.length];
            if (delta) (pick % 2 === 0 ? relay : holder).merge(delta);
            if (pick % 5 === 0) catchUp(holder, relay, limit);
          }
          catchUp(relay, writer, limit);
          catchUp(holder, relay, limit);
          expect([shown(relay), shown(holder)]).toEqual([shown(writer), shown(writer)]);
          for (const delta of told) holder.merge(delta);
          expect(shown(holder)).toEqual(shown(writer));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("merge is idempotent and tells what it did", () => {
    fc.assert(
      fc.property(life, fc.array(fc.nat(), { maxLength: 60 }), (steps, picks) => {
        const { told } = play(steps);
        const holder = new Replica();
        const mirror = new Map<string, Entry>();
        for (const pick of picks) {
          if (told.length === 0) continue;
          const delta = told[pick % told.length]!;
          const { added, removed } = holder.merge(delta);
          for (const entry of removed) expect(mirror.delete(entryKey(entry))).toBe(true);
          for (const entry of added) mirror.set(entryKey(entry), entry);
          expect([...mirror.keys()].sort()).toEqual(shown(holder));
          expect(holder.merge(delta)).toEqual({ added: [], removed: [], isNews: false });
        }
      }),
      { numRuns: 300 },
    );
  });

  test("that many have missed many removals of are told anew, in parts", () => {
    const writer = new Replica(1);
    const all = Array.from({ length: 4000 }, (_, number) => ({ ...entryOf(1), container: `c${number}` }));
    writer.write(all, []);
    const holder = new Replica();
    catchUp(holder, writer, 500);
    writer.write([], all.slice(100));
    writer.write([entryOf(5)], []);
    expect(writer.changes().length).toBeLessThan(1200); // tombstones are bounded
    catchUp(holder, writer, 50);
    expect(shown(holder)).toEqual(shown(writer));
  });
});

test("what can be looked up is what was added and not removed, by any holder, whatever the case and the order", () => {
  const names = ["web.weave.local.", "WEB.weave.local.", "db.weave.local."];
  const addresses = ["10.32.0.1", "10.32.0.2", "fd00::1"].map(ip);
  const change = fc.record({
    holder: fc.constantFrom("1", "2"),
    name: fc.constantFrom(...names),
    container: fc.constantFrom("c", "d"),
    address: fc.constantFrom(...addresses),
    add: fc.boolean(),
    look: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const directory = new Directory();
      const held = new Map<string, Entry>();
      for (const { holder, add, look, ...entry } of changes) {
        if (add) directory.add(holder, entry);
        else directory.remove(holder, entry);
        if (add) held.set(`${holder} ${entryKey(entry)}`, entry);
        else held.delete(`${holder} ${entryKey(entry)}`);
        if (!look) continue;
        const all = [...held.values()];
        for (const name of names) {
          const wanted = new Set(all.filter((one) => one.name.toLowerCase() === name.toLowerCase()).map((one) => one.address));
          const { a, aaaa } = directory.addresses(parseName(name)!.key) ?? { a: [], aaaa: [] };
          const found = [0, 4].filter((at) => at < a.length).map((at) => a.slice(at, at + 4).join("."));
          expect(found.sort()).toEqual([...wanted].filter((one) => one.includes(".")).sort());
          expect(aaaa.length).toBe(wanted.has(ip("fd00::1")) ? 16 : 0);
        }
        for (const address of addresses) {
          const first = all
            .filter((one) => one.address === address)
            .map((one) => one.name.toLowerCase())
            .sort()[0];
          expect(directory.nameOf(address)?.toLowerCase()).toBe(first);
        }
      }
    }),
    { numRuns: 500 },
  );
});

describe("hostile bytes", () => {
  const anything = fc.anything({ withBigInt: false, withTypedArray: true, maxDepth: 4 });
  const refusedOr = (run: () => unknown): void => {
    try {
      run();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  };

  test("on the gossip channel are read or refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          anything.map((value) => pack([value])),
        ),
        (bytes) => {
          refusedOr(() => decodeDeltas(bytes));
          refusedOr(() => decodeDigest(bytes));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("more changes than a delta may have are refused, and so are versions outside its range", () => {
    const change = (version: number) => ({ entry: entryOf(1), version, removed: false });
    const delta = (changes: readonly { entry: Entry; version: number; removed: boolean }[]) =>
      encodeDeltas([{ origin: peerName(1), epoch: 1, from: 3, to: 9, floor: 0, changes }]);
    expect(() => decodeDeltas(delta(Array.from({ length: CHANGES_MAX + 1 }, () => change(5))))).toThrow(ProtocolError);
    expect(() => decodeDeltas(delta([change(3)]))).toThrow(ProtocolError);
    expect(() => decodeDeltas(delta([change(10)]))).toThrow(ProtocolError);
    expect(decodeDeltas(delta([change(9)]))[0]!.changes).toHaveLength(1);
  });

  test("from clients get an answer that can be read, or none", () => {
    const directory = new Directory();
    for (let number = 0; number < 100; number++) directory.add("1", { ...entryOf(number % 250), name: "web.weave.local." });
    const zone = new Zone({ directory, domain: parseName("weave.local")!, ttlSeconds: 1, random: seededRandom(1) });
    const query = fc
      .tuple(
        fc.constantFrom("web.weave.local", "x.weave.local", "web", "example.com", "1.0.32.10.in-addr.arpa"),
        fc.constantFrom("A", "AAAA", "PTR", "MX"),
        fc.array(fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 255 })), { maxLength: 6 }),
        fc.nat({ max: 80 }),
      )
      .map(([name, type, flips, cut]) => {
        const bytes = Uint8Array.from(
          dnsPacket.encode({
            type: "query",
            id: 7,
            flags: dnsPacket.RECURSION_DESIRED,
            questions: [{ type: type as "A", name }],
            additionals: [
              {
                type: "OPT",
                name: ".",
                udpPayloadSize: 1232,
                flags: 0,
                options: [],
                extendedRcode: 0,
                ednsVersion: 0,
                flag_do: false,
              },
            ],
          }),
        );
        for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value;
        return cut < 40 ? bytes : bytes.subarray(0, cut);
      });
    fc.assert(
      fc.property(
        fc.oneof(query, fc.uint8Array({ maxLength: 600 })),
        fc.constantFrom("udp" as const, "tcp" as const),
        (bytes, transport) => {
          const verdict = zone.answer(bytes, transport);
          if (verdict.kind !== "reply") return;
          const reply = dnsPacket.decode(Buffer.from(verdict.bytes));
          expect(reply.type).toBe("response");
          if (transport === "udp") expect(verdict.bytes.length).toBeLessThanOrEqual(1232);
          const read = readQuestion(bytes);
          if ("question" in read && read.question.ednsBytes === undefined && transport === "udp") {
            expect(verdict.bytes.length).toBeLessThanOrEqual(512);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});
