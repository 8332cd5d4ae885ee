// SPDX-License-Identifier: Apache-2.0
// Joining undoes cutting: whatever packets follow each other, the super-packets made of them stand for exactly those packets in that order.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Cutter } from "../../src/overlay/sleeve/cutting.ts";
import { isJoinable, Joined } from "../../src/overlay/sleeve/joining.ts";
import { Packet, setIpLength, UDP_AT } from "../../src/overlay/sleeve/packet.ts";
import { innerFrame, pattern } from "../support/inner-frames.ts";

interface Super {
  readonly frame: Uint8Array<ArrayBuffer>;
  /** 0: as it is. */
  readonly segmentBytes: number;
}

/** What the injector does, on plain arrays. */
function join(frames: readonly Uint8Array<ArrayBuffer>[]): Super[] {
  const supers: Super[] = [];
  const joined = new Joined(0);
  const packet = new Packet();
  const memory = new Uint8Array(1 << 17);
  const view = new DataView(memory.buffer);
  const finish = () => {
    if (!joined.isOpen) return;
    const length = joined.headerBytes + joined.payloadBytes;
    if (joined.segments > 1) {
      setIpLength(view, 14, joined.isIpv6, length - 14);
      if (!joined.isTcp) view.setUint16(joined.transportAt + UDP_AT.length, length - joined.transportAt);
    }
    supers.push({ frame: memory.slice(0, length), segmentBytes: joined.segments > 1 ? joined.segmentBytes : 0 });
    joined.end();
  };
  for (const frame of frames) {
    const other = new DataView(frame.buffer);
    const joins = packet.read(other, 0, frame.length) && isJoinable(other, 0, packet);
    if (joins && joined.isOpen && joined.continues(view, other, 0, packet)) {
      memory.set(frame.subarray(packet.headerBytes), joined.headerBytes + joined.payloadBytes);
      joined.extend(view, other, 0, packet);
      continue;
    }
    finish();
    if (!joins) supers.push({ frame, segmentBytes: 0 });
    else {
      memory.set(frame);
      joined.begin(view, 0, packet);
    }
  }
  finish();
  return supers;
}

/** What a kernel makes of a super-packet (checked against it in the lab). */
function segments({ frame, segmentBytes }: Super): Uint8Array[] {
  if (segmentBytes === 0) return [frame];
  const memory = frame.slice();
  const view = new DataView(memory.buffer);
  const packet = new Packet();
  expect(packet.read(view, 0, memory.length)).toBe(true);
  const cutter = new Cutter();
  cutter.begin(memory, 0, packet);
  const pieces: Uint8Array[] = [];
  for (let offset = 0, number = 0; offset < packet.payloadBytes; offset += segmentBytes, number++) {
    const bytes = Math.min(segmentBytes, packet.payloadBytes - offset);
    const start = cutter.write(view, memory, 0, offset, bytes, number);
    pieces.push(memory.slice(start, start + packet.headerBytes + bytes));
  }
  return pieces;
}

const step = fc.record({
  length: fc.constantFrom(0, 1, 100, 300, 300, 300, 300),
  gap: fc.constantFrom(0, 0, 0, 0, 0, 0, 1),
  flags: fc.constantFrom(0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x50),
  sourcePort: fc.constantFrom(40_000, 40_000, 40_000, 40_000, 40_001),
});

describe("joining", () => {
  for (const protocol of ["tcp", "udp"] as const) {
    for (const ipv6 of [false, true]) {
      for (const dontFragment of [true, false]) {
        test(`${protocol} over ${ipv6 ? "IPv6" : "IPv4"}${dontFragment ? "" : ", may be fragmented"}: nothing is added, lost, changed or moved`, () => {
          fc.assert(
            fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(0, 12), (steps, optionBytes) => {
              let sequence = 0xffff_fc00; // wraps on the way
              let id = 0xfff0;
              const frames = steps.map(({ length, gap, flags, sourcePort }) => {
                sequence = (sequence + gap) >>> 0;
                const frame = innerFrame({
                  protocol,
                  ipv6,
                  payload: pattern(length, sequence),
                  sequence,
                  flags,
                  sourcePort,
                  optionBytes,
                  dontFragment,
                  id: id & 0xffff,
                });
                sequence = (sequence + length) >>> 0;
                id += 1 + gap;
                return frame;
              });
              const back = join(frames).flatMap(segments);
              expect(back.map((frame) => frame.length)).toEqual(frames.map((frame) => frame.length));
              for (const [i, frame] of back.entries())
                expect(withoutId(frame, dontFragment)).toEqual(withoutId(frames[i]!, dontFragment));
            }),
            { numRuns: 100 },
          );
        });
      }
    }
  }

  test("a bulk transfer becomes few super-packets", () => {
    const payload = 1_348;
    const frames = Array.from({ length: 90 }, (_, i) =>
      innerFrame({ protocol: "tcp", payload: pattern(payload), sequence: i * payload, id: i }),
    );
    const supers = join(frames);
    expect(supers.map(({ frame }) => frame.length <= 65_549)).not.toContain(false);
    expect(supers).toHaveLength(2);
  });
});

/** Where fragments are forbidden the identification says nothing (RFC 6864): what a super-packet's segments have there is counted on. */
function withoutId(frame: Uint8Array, dontFragment: boolean): string {
  const copy = Buffer.from(frame);
  if (dontFragment && copy.readUInt16BE(12) === 0x0800) {
    copy.writeUInt16BE(0, 18);
    copy.writeUInt16BE(0, 24);
  }
  return copy.toString("hex");
}
