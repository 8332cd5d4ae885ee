// SPDX-License-Identifier: Apache-2.0
// Whatever a peer sends, or a file holds, is read or refused; nothing else comes of it.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeMessage, encodeMessage } from "../../src/mesh/codec.ts";
import { alive, conflict, hear } from "../../src/mesh/mesh-channel.ts";
import type { Message } from "../../src/mesh/message.ts";
import type { PeerName } from "../../src/mesh/peer-name.ts";
import { diffRecords, isLater, VERSION_MAX, versionAfter } from "../../src/mesh/record.ts";
import { decodeRestored, encodeRestored } from "../../src/mesh/restore.ts";
import { ProtocolError } from "../../src/runtime/errors.ts";
import { peerName, recordOf } from "../support/records.ts";

const uid = "0123456789abcdef";
const messages: readonly Message[] = [
  { type: "records", records: [recordOf(1, [2, 3]), recordOf(2, [1])], want: [peerName(9)] },
  { type: "delta", root: peerName(4), delta: diffRecords(recordOf(1, [2, 3]), recordOf(1, [3, 4], { version: 2 })) },
  { type: "digest", records: [1, 2], peers: 3, askList: true, revoked: 0, channels: [["ipam", 77]] },
  { type: "list", versions: [recordOf(5), recordOf(6)] },
  { type: "broadcast", root: peerName(1), source: peerName(2), uid, sequence: 3, channel: "dns", payload: Uint8Array.of(1) },
  { type: "revoked", keys: ["00".repeat(32)] },
];
const saved = encodeRestored({
  savedAtMs: 1,
  name: peerName(1),
  version: 4,
  shortId: recordOf(1).shortId,
  records: [recordOf(1, [2]), recordOf(2, [1])],
  neighbours: [
    { ...recordOf(2), address: "10.0.0.2:6783", outbound: true, passwordUsed: false, trusted: false, transports: ["fastdp"] },
  ],
  revoked: ["11".repeat(32)],
});
const listener = { asked: () => {}, alive: () => {}, conflict: () => {}, pathDown: () => {} };
const READERS: readonly { readonly what: string; readonly samples: readonly Uint8Array[]; read(bytes: Uint8Array): unknown }[] = [
  { what: "messages", samples: messages.map(encodeMessage), read: decodeMessage },
  {
    what: "words over the mesh",
    samples: [alive(uid, 7), conflict("twice")],
    read: (bytes) => hear(listener, 1 as PeerName, bytes),
  },
  { what: "saved states", samples: [saved], read: decodeRestored },
];

describe("readers", () => {
  for (const { what, samples, read } of READERS) {
    const isTotal = (bytes: Uint8Array): boolean => {
      try {
        read(bytes);
      } catch (thrown) {
        if (!(thrown instanceof ProtocolError)) throw thrown;
      }
      return true;
    };

    test(`of ${what} take any bytes`, () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), isTotal), { numRuns: 2000 });
    });

    test(`of ${what} take good ones with some bytes changed`, () => {
      const change = fc.record({ at: fc.nat(), byte: fc.nat(255) });
      const changes = fc.array(change, { minLength: 1, maxLength: 4 });
      fc.assert(
        fc.property(fc.constantFrom(...samples), changes, fc.nat(), (sample, some, cut) => {
          const changed = cut % 5 === 0 ? sample.slice(0, cut % sample.length) : sample.slice();
          for (const { at, byte } of some) if (changed.length > 0) changed[at % changed.length] = byte;
          return isTotal(changed);
        }),
        { numRuns: 4000 },
      );
    });
  }
});

describe("versions", () => {
  const version = fc.oneof(
    fc.integer({ min: 1, max: VERSION_MAX }),
    fc.constantFrom(1, 2, VERSION_MAX, VERSION_MAX - 1, 2 ** 52),
  );

  test("of two different ones exactly one is later", () => {
    fc.assert(fc.property(version, version, (a, b) => isLater(a, b) !== isLater(b, a) || a === b));
    expect(isLater(5, 5)).toBe(false);
  });

  test("can always be exceeded by one that can be sent", () => {
    fc.assert(
      fc.property(version, (a) => {
        const next = versionAfter(a);
        return isLater(next, a) && next >= 1 && next <= VERSION_MAX;
      }),
    );
  });
});
