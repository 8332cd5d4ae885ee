// SPDX-License-Identifier: Apache-2.0
// Laws of the sleeve: whatever frames go in come out, whatever happens to datagrams on the way changes nothing but what arrives, and nothing a
// key sealed is ever sealed again with the same nonce.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Cutter, pieceBytes } from "../../src/overlay/sleeve/cutting.ts";
import { FRAME_BYTES_MAX } from "../../src/overlay/sleeve/datagram.ts";
import { Packet } from "../../src/overlay/sleeve/packet.ts";
import { REASSEMBLY_SLOTS, Reassembly } from "../../src/overlay/sleeve/reassembly.ts";
import { ReplayWindow, WINDOW_BITS } from "../../src/overlay/sleeve/replay-window.ts";
import { type InnerFrame, innerFrame, pattern } from "../support/inner-frames.ts";
import { Ends, TTL_VNI } from "../support/sleeve-ends.ts";

const CIPHERS = ["aes256gcm", "chacha20poly1305", "none"] as const;
const frameBytes = fc.oneof(
  fc.integer({ min: 14, max: 120 }),
  fc.integer({ min: 1_300, max: 1_600 }),
  fc.integer({ min: 14, max: 20_000 }),
);
/** Not IP, so that it travels whole. */
const otherFrame = (length: number) => {
  const frame = pattern(length, length);
  frame.set([0x88, 0xb7], 12);
  return frame;
};

describe("frames through a pair of sleeves", () => {
  for (const cipher of CIPHERS) {
    test(`${cipher}: arrive as they were, in order, whatever their size`, () => {
      using ends = new Ends(cipher);
      ends.settle();
      fc.assert(
        fc.property(fc.array(frameBytes, { minLength: 1, maxLength: 20 }), (sizes) => {
          const frames = sizes.map(otherFrame);
          ends.b.arrived.length = 0;
          for (const frame of frames) ends.a.send(frame);
          ends.run();
          expect(ends.b.arrived.map(({ frame }) => frame.length)).toEqual(sizes);
          expect(ends.b.arrived.every(({ frame, mark }, i) => mark === TTL_VNI && Buffer.compare(frame, frames[i]!) === 0)).toBe(
            true,
          );
        }),
        { numRuns: 30 },
      );
      expect([ends.a.drops, ends.b.drops]).toEqual([{}, {}]);
    });
  }

  test("lost, doubled and reordered datagrams: what arrives is what was sent, once", () => {
    using ends = new Ends("aes256gcm");
    ends.settle();
    fc.assert(
      fc.property(fc.array(frameBytes, { minLength: 1, maxLength: 20 }), fc.infiniteStream(fc.nat(99)), (sizes, chance) => {
        const frames = sizes.map((size, i) => Uint8Array.of(...otherFrame(Math.max(16, size)).with(14, i)));
        ends.b.arrived.length = 0;
        let held: Uint8Array | undefined;
        ends.fate = (datagram) => {
          const draw = chance.next().value ?? 0;
          if (draw < 10) return [];
          if (draw < 20) return [datagram, datagram];
          if (draw < 40 && held === undefined) {
            held = datagram;
            return [];
          }
          const before = held;
          held = undefined;
          return before === undefined ? [datagram] : [datagram, before];
        };
        for (const frame of frames) ends.a.send(frame);
        ends.run();
        const sent = new Map(frames.map((frame) => [Buffer.from(frame).toString("base64"), frame.length]));
        for (const { frame } of ends.b.arrived) expect(sent.delete(Buffer.from(frame).toString("base64"))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("damaged, cut and foreign datagrams change nothing and are counted", () => {
    for (const cipher of ["aes256gcm", "chacha20poly1305"] as const) {
      using ends = new Ends(cipher);
      ends.settle();
      ends.a.send(otherFrame(300));
      ends.run();
      const valid = ends.seen.findLast(({ to }) => to === "b")!.bytes;
      const before = { ...ends.b.session.counts, arrived: ends.b.arrived.length, moves: ends.b.moves.length };
      fc.assert(
        fc.property(
          fc.nat(valid.length - 1),
          fc.nat(7),
          fc.uint8Array({ maxLength: 400 }),
          fc.nat(valid.length - 1),
          (at, bit, junk, length) => {
            // A newer counter, so that it is not taken for a replay.
            const fresh = valid.with(8, 1);
            ends.deliver("b", fresh.with(at, fresh[at]! ^ (1 << bit)));
            ends.deliver("b", fresh.subarray(0, length));
            ends.deliver("b", junk);
            ends.deliver("b", valid);
            ends.b.receive();
          },
        ),
        { numRuns: 60 },
      );
      expect({ ...ends.b.session.counts, arrived: ends.b.arrived.length, moves: ends.b.moves.length }).toEqual(before);
      const { drops } = ends.b;
      expect([drops["notAuthentic"]! > 0, drops["unknownIndex"]! > 0, drops["replayed"]! > 0]).toEqual([true, true, true]);
      ends.a.send(otherFrame(200));
      ends.run();
      expect(ends.b.arrived.at(-1)?.frame).toEqual(otherFrame(200));
    }
  });

  test("random records of an authentic peer never throw nor write where they must not", () => {
    using ends = new Ends("none");
    ends.settle();
    let counter = 1_000;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), (junk, kind) => {
        const datagram = new Uint8Array(12 + junk.length);
        const view = new DataView(datagram.buffer);
        view.setUint32(0, 0x2000);
        view.setUint32(4, 0x8000_0000);
        view.setUint32(8, counter++);
        datagram.set(junk, 12);
        if (junk.length > 0) datagram[12] = kind;
        ends.deliver("b", datagram);
        ends.run();
      }),
      { numRuns: 300 },
    );
  });
});

describe("cutting", () => {
  const shape = fc.record({
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    ipv6: fc.boolean(),
    length: fc.integer({ min: 1, max: 30_000 }),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    flags: fc.constantFrom(0x10, 0x18, 0x11, 0x19, 0x90),
    id: fc.nat(0xffff),
    optionBytes: fc.constantFrom(0, 12, 40),
    vlan: fc.option(fc.integer({ min: 1, max: 4094 }), { nil: undefined }),
    segment: fc.integer({ min: 200, max: 1_500 }),
    room: fc.integer({ min: 500, max: 1_500 }),
  });

  test("pieces are whole packets that together carry the payload, and one and the same flow", () => {
    fc.assert(
      fc.property(shape, ({ length, segment, room, vlan, ...rest }) => {
        const payload = pattern(length);
        const original: InnerFrame = { ...rest, payload, ...(vlan === undefined ? {} : { vlan }) };
        const frame = innerFrame(original);
        const memory = new Uint8Array(frame.length + 32);
        memory.set(frame, 32);
        const view = new DataView(memory.buffer);
        const packet = new Packet();
        expect(packet.read(view, 32, frame.length)).toBe(true);
        const piece = pieceBytes(view, 32, packet, segment, room);
        if (piece === 0) {
          expect(length <= segment).toBe(true);
          return;
        }
        if (rest.protocol === "tcp") expect(packet.headerBytes + piece).toBeLessThanOrEqual(room);
        const cutter = new Cutter();
        cutter.begin(memory, 32, packet);
        for (let offset = 0, number = 0; offset < length; offset += piece, number++) {
          const bytes = Math.min(piece, length - offset);
          const start = cutter.write(view, memory, 32, offset, bytes, number);
          const isLast = offset + bytes === length;
          const flags = rest.flags & (isLast ? 0xff : ~0x09) & (number === 0 ? 0xff : ~0x80);
          const expected = innerFrame({
            ...original,
            payload: payload.subarray(offset, offset + bytes),
            sequence: (rest.sequence + offset) >>> 0,
            id: (rest.id + number) & 0xffff,
            flags,
          });
          expect(Buffer.compare(memory.subarray(start, start + packet.headerBytes + bytes), expected)).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("reading a packet never leaves its bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(3), (bytes, kind) => {
        const exact = Uint8Array.from(bytes);
        if (exact.length > 14)
          exact.set(
            [
              [0x08, 0x00],
              [0x86, 0xdd],
              [0x81, 0x00],
              [0x88, 0xa8],
            ][kind]!,
            12,
          );
        if (exact.length > 14) exact[14] = kind === 1 ? 0x60 : 0x45;
        const packet = new Packet();
        const isRead = packet.read(new DataView(exact.buffer), 0, exact.length);
        if (isRead) expect(packet.headerBytes + packet.payloadBytes).toBeLessThanOrEqual(exact.length);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("replay window", () => {
  test("agrees with a set of everything seen, as far as it reaches", () => {
    const step = fc.oneof(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -9_000, max: 9_000 }), fc.constant(0));
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.array(step, { maxLength: 400 }), (start, steps) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        let top = -1;
        let counter = start;
        for (const by of steps) {
          counter = Math.max(0, counter + by);
          const isNew = window.isNew(counter);
          if (seen.has(counter)) expect(isNew).toBe(false);
          else if (top - counter < WINDOW_BITS - 32) expect(isNew).toBe(true);
          if (!isNew) continue;
          expect(window.note(counter)).toBe(counter > top);
          seen.add(counter);
          top = Math.max(top, counter);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("reassembly", () => {
  test("a frame is whole when each of its bytes has come once, in whatever order", () => {
    const frames = fc.array(fc.record({ total: fc.integer({ min: 1, max: 4_000 }), units: fc.integer({ min: 1, max: 40 }) }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(frames, fc.infiniteStream(fc.nat(999)), (sizes, chance) => {
        const reassembly = new Reassembly();
        const pieces = sizes.flatMap(({ total, units }, id) =>
          Array.from({ length: Math.ceil(total / (units * 8)) }, (_, i) => ({
            id,
            total,
            offset: i * units * 8,
            length: Math.min(units * 8, total - i * units * 8),
          })),
        );
        const shuffled = pieces.map((piece) => ({ piece, at: chance.next().value ?? 0 })).sort((x, y) => x.at - y.at);
        const whole = new Map<number, number>();
        const owner = {};
        for (const { piece } of shuffled) {
          const slot = reassembly.take(owner, piece.id, piece.offset, piece.length, piece.total, 0);
          expect(slot).toBeGreaterThanOrEqual(0);
          const length = reassembly.finish(slot);
          if (length > 0) whole.set(piece.id, length);
          else expect(reassembly.take(owner, piece.id, piece.offset, piece.length, piece.total, 0)).toBe(-1);
        }
        expect([...whole].sort(([x], [y]) => x - y)).toEqual(sizes.map(({ total }, id) => [id, total]));
      }),
      { numRuns: 200 },
    );
  });

  test("any numbers are taken or refused, and the places stay as many", () => {
    const owners = [{}, {}, {}];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2), fc.nat(70), fc.nat(70_000), fc.nat(2_000), fc.nat(70_000)), { maxLength: 200 }),
        (calls) => {
          const reassembly = new Reassembly();
          for (const [owner, id, offset, length, total] of calls) {
            const slot = reassembly.take(owners[owner]!, id, offset, length, total, id);
            expect(slot).toBeLessThan(REASSEMBLY_SLOTS);
            if (slot < 0) continue;
            expect(offset + length).toBeLessThanOrEqual(Math.min(total, FRAME_BYTES_MAX));
            reassembly.finish(slot);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
