// SPDX-License-Identifier: Apache-2.0
// Whatever bytes a peer sends, a message comes out, or nothing, or a ProtocolError: no other error, no endless loop, no huge allocation.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeMessage, encodeMessage, pack } from "../../src/mesh/codec.ts";
import { hear } from "../../src/mesh/mesh-channel.ts";
import { applyDelta, diffRecords } from "../../src/mesh/record.ts";
import { packRecord, readRecord } from "../../src/mesh/record-codec.ts";
import { decodeRestored } from "../../src/mesh/restore.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";
import { entryTo, peerName, recordOf } from "../support/records.ts";

const anything = fc.anything({ withBigInt: false, withTypedArray: true, maxDepth: 4 });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .tuple(fc.integer({ min: 0, max: 20 }), fc.array(anything, { maxLength: 8 }))
    .map(([type, fields]) => pack([type, ...fields])),
);
const record = fc
  .record({ name: fc.integer({ min: 1, max: 30 }), version: fc.nat(), others: fc.uniqueArray(fc.integer({ min: 1, max: 30 })) })
  .map(({ name, version, others }) => {
    const connections = new Map(
      others.map((other) => [peerName(other), entryTo(peerName(other), { established: (other + version) % 3 > 0 })]),
    );
    return recordOf(name, [], { version: version + 1, connections });
  });

/** What became of it; anything but a ProtocolError is thrown on. */
function outcome(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    if (error instanceof ProtocolError) return "refused";
    throw error;
  }
}

describe("decoders", () => {
  test("survive any bytes", () => {
    const silent = { asked: () => {}, alive: () => {}, conflict: () => {}, pathDown: () => {} };
    fc.assert(
      fc.property(bytes, (input) => {
        const decoded = outcome(() => decodeMessage(input));
        if (typeof decoded === "object" && decoded !== null && "type" in decoded) expect(typeof decoded.type).toBe("string");
        outcome(() => decodeRestored(input));
        outcome(() => hear(silent, peerName(1), input));
      }),
      { numRuns: 3000 },
    );
  });

  test("survive messages with one byte changed or cut off", () => {
    const message = encodeMessage({ type: "records", records: [recordOf(1, [2, 3]), recordOf(2, [1])], want: [peerName(5)] });
    fc.assert(
      fc.property(fc.nat({ max: message.length - 1 }), fc.integer({ min: 0, max: 255 }), fc.boolean(), (at, value, isCut) => {
        const changed = isCut ? message.slice(0, at) : message.slice();
        if (!isCut) changed[at] = value;
        outcome(() => decodeMessage(changed));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("records", () => {
  test("come out of their bytes as they went in", () => {
    fc.assert(
      fc.property(record, (original) => {
        const message = decodeMessage(encodeMessage({ type: "record", root: original.name, record: original }));
        expect(message?.type === "record" && message.record).toEqual(original);
        expect(readRecord(packRecord(original))).toEqual(original);
      }),
    );
  });

  test("are brought to any later version by the difference", () => {
    fc.assert(
      fc.property(record, record, (from, to) => {
        const next = { ...to, name: from.name, uid: from.uid, key: from.key, nickname: from.nickname, port: from.port };
        const made = applyDelta(from, diffRecords(from, next));
        expect(made).toEqual(next);
      }),
    );
  });
});
