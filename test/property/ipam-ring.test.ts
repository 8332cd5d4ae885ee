// SPDX-License-Identifier: Apache-2.0
// The laws of the ring: merging is commutative, associative and idempotent, equals an address-by-address maximum, and what `fresh` leaves out was known.
// Free runs are compared with a plain set.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FreeRuns } from "../../src/ipam/free-runs.ts";
import { decodeDigest, decodeIpam, encodeIpam } from "../../src/ipam/messages.ts";
import {
  assign,
  type Claim,
  checkSegments,
  claimAt,
  coalesce,
  compareClaims,
  foundRing,
  mergeSegments,
  type Segments,
  within,
} from "../../src/ipam/ring.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";
import { peerName } from "../support/records.ts";

const SIZE = 24;
const range = { start: 0, end: SIZE };
const claim: fc.Arbitrary<Claim> = fc.record({
  owner: fc.integer({ min: 1, max: 4 }).map(peerName),
  version: fc.integer({ min: 1, max: 3 }),
  live: fc.boolean(),
});
/** A claim or none for each address, and the segments that say the same. */
const claims = fc.array(fc.option(claim, { nil: undefined, freq: 4 }), { minLength: SIZE, maxLength: SIZE });

function segmentsOf(list: readonly (Claim | undefined)[]): Segments {
  let segments: Segments = [];
  for (const [start, one] of list.entries())
    if (one) segments = mergeSegments(segments, [{ ...one, start, end: start + 1 }]).segments;
  return segments;
}
const ring = claims.map(segmentsOf);
const merged = (a: Segments, b: Segments): Segments => mergeSegments(a, b).segments;

describe("the ring", () => {
  test("merging is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(ring, ring, ring, (a, b, c) => {
        expect(merged(a, b)).toEqual(merged(b, a));
        expect(merged(merged(a, b), c)).toEqual(merged(a, merged(b, c)));
        expect(merged(a, a)).toEqual(a);
        expect(merged(merged(a, b), b)).toEqual(merged(a, b));
      }),
    );
  });

  test("merging takes the larger claim of each address, and fresh is exactly what was new", () => {
    fc.assert(
      fc.property(claims, claims, (a, b) => {
        const { segments, fresh } = mergeSegments(segmentsOf(a), segmentsOf(b));
        expect(checkSegments(segments, range, false)).toBeUndefined();
        for (let i = 0; i < SIZE; i++) {
          const [mine, theirs] = [a[i], b[i]];
          const isNew = theirs !== undefined && (!mine || compareClaims(mine, theirs) < 0);
          const { start: _s, end: _e, ...winner } = { start: 0, end: 0, ...claimAt(segments, i) };
          expect(winner).toEqual({ ...(isNew ? theirs : mine) });
          expect(claimAt(fresh, i) !== undefined).toBe(isNew);
        }
      }),
    );
  });

  test("an assignment wins where it was made, and joining changes no owner", () => {
    fc.assert(
      fc.property(
        ring,
        fc.nat(SIZE - 1),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        (a, start, length, owner) => {
          const part = { start, end: Math.min(SIZE, start + length) };
          const after = merged(a, assign(a, part, peerName(owner)));
          for (let i = part.start; i < part.end; i++) expect(claimAt(after, i)?.owner).toBe(peerName(owner));
          const joined = merged(after, coalesce(after, peerName(owner)));
          for (let i = 0; i < SIZE; i++) expect(claimAt(joined, i)?.owner).toBe(claimAt(after, i)?.owner);
          expect(coalesce(joined, peerName(owner))).toEqual([]);
        },
      ),
    );
  });

  test("founders get shares that cover the range, of nearly equal size, in whatever order they are named", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 40 }), (names) => {
        const whole = { start: 1000, end: 1000 + 4096 };
        const made = foundRing(whole, names.map(peerName));
        expect(checkSegments(made, whole, true)).toBeUndefined();
        expect(foundRing(whole, names.toReversed().map(peerName))).toEqual(made);
        const sizes = made.map(({ start, end }) => end - start);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("messages come back as they were, and random bytes are refused, never believed", () => {
    fc.assert(
      fc.property(ring, (segments) => {
        const header = { range, ringId: 7 };
        const message = {
          type: "state",
          header,
          founders: [peerName(3)],
          segments,
          names: new Map([[peerName(3), "web"]]),
        } as const;
        expect(decodeIpam(encodeIpam(message))).toEqual(message);
      }),
    );
    const total = (decode: (bytes: Uint8Array) => unknown) => (bytes: Uint8Array) => {
      try {
        decode(bytes);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(ProtocolError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), total(decodeIpam)), { numRuns: 2000 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), total(decodeDigest)), { numRuns: 2000 });
    const bytes = encodeIpam({
      type: "state",
      header: { range, ringId: 7 },
      founders: [],
      segments: foundRing(range, [peerName(1)]),
      names: new Map(),
    });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const spoilt = Uint8Array.from(bytes);
        spoilt[at] = value;
        total(decodeIpam)(spoilt);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("free runs", () => {
  const step = fc.tuple(fc.constantFrom("take", "put"), fc.nat(SIZE - 1));
  test("agree with a plain set", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.nat(SIZE - 1),
        fc.integer({ min: 1, max: SIZE }),
        (steps, start, length) => {
          const runs = new FreeRuns([range], []);
          const plain = new Set(Array.from({ length: SIZE }, (_, i) => i));
          for (const [what, address] of steps) {
            if (what === "take") expect(runs.take(address)).toBe(plain.delete(address));
            else {
              runs.put(address);
              plain.add(address);
            }
          }
          const part = { start, end: Math.min(SIZE, start + length) };
          const inside = [...plain].filter((address) => address >= part.start && address < part.end).sort((a, b) => a - b);
          expect(runs.count()).toBe(plain.size);
          expect(runs.lowest(part)).toBe(inside[0]);
          const largest = runs.largest(part);
          for (let at = largest?.start ?? 0; at < (largest?.end ?? 0); at++) expect(plain.has(at)).toBe(true);
          expect(largest === undefined).toBe(inside.length === 0);
          expect(within([{ ...part, owner: peerName(1), version: 1, live: false }], range)).toHaveLength(1);
        },
      ),
    );
  });
});
